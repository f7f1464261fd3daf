import Base

/// Damages bytes in a way that one seed repeats.
struct Mutator {
  private var random: SplitMix64

  init(seed: UInt64) { random = SplitMix64(seed: seed) }

  /// Numbers at which parsers go wrong.
  private static let telling: [UInt32] = [
    0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0xf_ffff, 0x10_0000,
    0x7fff_ffff, 0x8000_0000, 0xffff_f000, 0xffff_ffff,
  ]

  mutating func pick<T>(_ list: [T]) -> T { list[random.below(list.count)] }

  /// Changes `bytes` in one to eight places.
  mutating func damage(_ bytes: inout [UInt8]) {
    for _ in 0...random.below(8) { step(&bytes) }
  }

  private mutating func step(_ bytes: inout [UInt8]) {
    guard !bytes.isEmpty else {
      bytes.append(UInt8(truncatingIfNeeded: random.next()))
      return
    }
    let at = random.below(bytes.count)
    switch random.below(12) {
    case 0...2: bytes[at] ^= 1 << UInt8(random.below(8))
    case 3, 4: bytes[at] = UInt8(truncatingIfNeeded: random.next())
    case 5, 6: overwrite(&bytes, at: at, with: pick(Self.telling), width: 2)
    case 7, 8: overwrite(&bytes, at: at, with: pick(Self.telling), width: 4)
    case 9: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.below(16)))
    case 10:
      let run = bytes[at..<min(bytes.count, at + 1 + random.below(64))]
      bytes.insert(contentsOf: run, at: random.below(bytes.count + 1))
    default: bytes.removeSubrange(at...)
    }
  }

  private func overwrite(_ bytes: inout [UInt8], at offset: Int, with value: UInt32, width: Int) {
    for index in 0..<width where offset + index < bytes.count {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
    }
  }

  /// Changes the bytes of a structure's fields rather than any bytes.
  mutating func damage(_ bytes: inout [UInt8], fields: [Int]) {
    for _ in 0...random.below(3) {
      let at = pick(fields)
      overwrite(
        &bytes, at: at,
        with: pick([pick(Self.telling), UInt32(truncatingIfNeeded: random.next())]),
        width: pick([1, 2, 4]))
    }
  }
}
