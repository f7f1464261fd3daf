/// Numbers of inputs: of `first..<first + count` every `step`-th, from `offset` on.
package struct FuzzRange: Hashable, Sendable {
  package var first: UInt64
  package var count: UInt64
  /// Part `part` of `parts`, from 1.
  package var part: UInt64 = 1
  package var parts: UInt64 = 1

  package init(first: UInt64, count: UInt64, part: UInt64 = 1, parts: UInt64 = 1) {
    self.first = first
    self.count = count
    self.part = part
    self.parts = parts
  }

  /// How many numbers it holds.
  package var size: UInt64 {
    count < part ? 0 : (count - part) / parts + 1
  }

  /// The `index`-th of its numbers.
  package func number(_ index: UInt64) -> UInt64 { first &+ (part - 1) &+ index &* parts }
}

/// Runs inputs of one target in this process.
///
/// A trap ends the process; so whoever runs a campaign that may trap does it in a child, and keeps
/// what ``onBlock`` told last: the inputs after it are the ones to look at.
package struct FuzzWork {
  package let target: any FuzzTarget
  package let seed: UInt64
  package let range: FuzzRange
  /// Inputs between two calls of ``onBlock``.
  package var block: UInt64 = 1024
  /// Told before each block: the index of its first input, and how the ones before ended.
  package var onBlock: (UInt64, FuzzTally) -> Void = { _, _ in }

  package init(_ target: any FuzzTarget, seed: UInt64, range: FuzzRange) {
    self.target = target
    self.seed = seed
    self.range = range
  }

  /// What stopped the work.
  package struct Finding: Hashable, Sendable {
    /// Of the input in the range.
    package var index: UInt64
    package var complaint: String
  }

  /// Runs the inputs of these indices, all by default, until the first that breaks a promise.
  package func run(_ indices: Range<UInt64>? = nil) -> (tally: FuzzTally, finding: Finding?) {
    var tally = FuzzTally()
    let indices = (indices ?? 0..<range.size).clamped(to: 0..<range.size)
    let start = indices.lowerBound
    for index in indices {
      if (index - start) % block == 0 { onBlock(index, tally) }
      switch target.feed(target.input(range.number(index), seed: seed)) {
      case .ended(let name): tally.add(name)
      case .broken(let complaint): return (tally, Finding(index: index, complaint: complaint))
      }
    }
    return (tally, nil)
  }
}
