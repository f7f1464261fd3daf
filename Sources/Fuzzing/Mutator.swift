package import Base

/// Draws and damages bytes in a way that one seed repeats.
package struct Mutator {
  package var random: SplitMix64

  package init(seed: UInt64) { random = SplitMix64(seed: seed) }

  /// Numbers at which parsers go wrong.
  package static let telling: [UInt32] = [
    0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x1ff, 0x200, 0xfff, 0x1000, 0x7fff, 0x8000,
    0xffff, 0x1_0000, 0xf_ffff, 0x10_0000, 0x7fff_fffc, 0x7fff_ffff, 0x8000_0000, 0xffff_f000,
    0xffff_fffc, 0xffff_fffe, 0xffff_ffff,
  ]

  package mutating func pick<T>(_ list: [T]) -> T { list[random.below(list.count)] }

  /// True once in `count` times.
  package mutating func oneIn(_ count: Int) -> Bool { random.below(count) == 0 }

  package mutating func word() -> UInt32 { UInt32(truncatingIfNeeded: random.next()) }

  package mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: random.next()) }

  /// A word at which parsers go wrong, or any word, or a small one.
  package mutating func tellingWord() -> UInt32 {
    switch random.below(4) {
    case 0: word()
    case 1: UInt32(random.below(64))
    default: pick(Self.telling)
    }
  }

  /// Changes `bytes` in one to eight places.
  package mutating func damage(_ bytes: inout [UInt8]) {
    for _ in 0...random.below(8) { step(&bytes) }
  }

  private mutating func step(_ bytes: inout [UInt8]) {
    guard !bytes.isEmpty else {
      bytes.append(byte())
      return
    }
    let at = random.below(bytes.count)
    switch random.below(12) {
    case 0...2: bytes[at] ^= 1 << UInt8(random.below(8))
    case 3, 4: bytes[at] = byte()
    case 5, 6: overwrite(&bytes, at: at, with: pick(Self.telling), width: 2)
    case 7, 8: overwrite(&bytes, at: at, with: pick(Self.telling), width: 4)
    case 9: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.below(16)))
    case 10:
      let run = bytes[at..<min(bytes.count, at + 1 + random.below(64))]
      bytes.insert(contentsOf: run, at: random.below(bytes.count + 1))
    default: bytes.removeSubrange(at...)
    }
  }

  /// Writes the low `width` bytes of `value`, as far as there are bytes.
  package func overwrite(
    _ bytes: inout [UInt8], at offset: Int, with value: UInt32, width: Int
  ) {
    for index in 0..<width where offset + index < bytes.count {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
    }
  }

  /// Changes the bytes of a structure's fields rather than any bytes.
  package mutating func damage(_ bytes: inout [UInt8], fields: [Int]) {
    for _ in 0...random.below(3) {
      let at = pick(fields)
      overwrite(
        &bytes, at: at, with: oneIn(2) ? word() : pick(Self.telling), width: pick([1, 2, 4]))
    }
  }

  /// Changes a text: single bytes, and pieces that mean something to its parser.
  package mutating func damage(_ bytes: inout [UInt8], pieces: [String]) {
    for _ in 0...random.below(6) where !bytes.isEmpty {
      let at = random.below(bytes.count)
      switch random.below(8) {
      case 0: bytes[at] = byte()
      case 1: bytes.remove(at: at)
      case 2, 3: bytes.insert(contentsOf: pick(pieces).utf8, at: at)
      case 4: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.below(40)))
      case 5:
        let slice = Array(bytes[at..<min(bytes.count, at + 1 + random.below(200))])
        bytes.insert(contentsOf: slice, at: random.below(bytes.count))
      case 6: bytes.removeSubrange(at...)
      default: bytes.swapAt(at, random.below(bytes.count))
      }
    }
  }
}
