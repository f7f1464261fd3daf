import Base
import KernelRuntime

/// One operation of a random sequence. The numbers are read modulo what there is, so that a
/// sequence stays one when steps are left out: that makes it easy to shorten.
struct ProcessStep: CustomStringConvertible {
  enum Kind: CaseIterable {
    case mapPrivate, mapShared, mapFile, mapFileShared
    case unmap, protect, discard, move
    case store, load, fork, exit
    case migrate, evict, pin, unpin
    case writeFile, truncate, punch, writeBack
    case swapOut, failingSwapOut, reclaim, swapOff, failingMigrate, lock, unlock, offline
    case limit, freeLazily, loseMemory
    case exclusive, deviceStore
    case watch, unwatch, guardWrites, letWrite, fill
  }

  let kind: Kind
  let process: Int
  let first: Int
  let count: Int
  let value: UInt64

  private static let kinds: [Kind] =
    Kind.allCases + [
      .store, .store, .store, .store, .store, .load, .load, .load, .load, .mapPrivate, .mapPrivate,
      .swapOut, .migrate, .migrate, .migrate, .fork, .fork, .store, .store, .load, .load,
      .exclusive, .deviceStore, .deviceStore, .freeLazily, .guardWrites, .watch, .mapPrivate,
    ]

  init(_ generator: inout SplitMix64) {
    kind = Self.kinds[generator.below(Self.kinds.count)]
    process = generator.below(1 << 16)
    first = generator.below(ProcessOracle.window)
    count = 1 + generator.below(6)
    value = generator.next() >> 1
  }

  init(_ kind: Kind, process: Int = 0, first: Int = 0, count: Int = 1, value: UInt64 = 0) {
    self.kind = kind
    self.process = process
    self.first = first
    self.count = count
    self.value = value
  }

  var range: Range<Int> { first..<min(first + count, ProcessOracle.window) }

  var description: String { "\(kind)(process \(process) pages \(range) value \(value))" }

  /// The step as one word, so that a sequence fits one line; ``init(token:)`` reads it.
  var token: String { "\(kind).\(process).\(first).\(count).\(value)" }

  init?(token: some StringProtocol) {
    let parts = token.split(separator: ".")
    guard parts.count == 5, let kind = Kind.allCases.first(where: { "\($0)" == parts[0] }),
      let process = Int(parts[1]), let first = Int(parts[2]), let count = Int(parts[3]),
      let value = UInt64(parts[4]), process >= 0, count > 0, count <= ProcessOracle.window,
      (0..<ProcessOracle.window).contains(first)
    else { return nil }
    self.init(kind, process: process, first: first, count: count, value: value)
  }

  static func random(seed: UInt64, count: Int) -> [ProcessStep] {
    var generator = SplitMix64(seed: seed)
    return (0..<count).map { _ in ProcessStep(&generator) }
  }

  /// The shortest part of a failing sequence that was found by leaving out ever smaller pieces.
  static func shortened(
    _ steps: [ProcessStep], whileFailing fails: ([ProcessStep]) throws -> Bool
  ) rethrows -> [ProcessStep] {
    var steps = steps
    var size = max(steps.count / 2, 1)
    while true {
      var start = 0
      var removed = false
      while start < steps.count {
        var shorter = steps
        shorter.removeSubrange(start..<min(start + size, steps.count))
        if try fails(shorter) {
          steps = shorter
          removed = true
        } else {
          start += size
        }
      }
      if size == 1 && !removed { return steps }
      size = max(size / 2, 1)
    }
  }
}
