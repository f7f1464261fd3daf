import Base

/// Something that takes bytes from outside and owes an answer to any of them.
///
/// Each input depends on the seed and its number alone, so a number repeats it anywhere.
package protocol FuzzTarget {
  /// As the command line names it.
  var name: String { get }
  /// What takes the bytes, in a few words.
  var summary: String { get }
  /// Input `number` of the campaign with this seed.
  func input(_ number: UInt64, seed: UInt64) -> [UInt8]
  /// Hands an input over. A trap or an endless loop in here is what the campaign looks for.
  func feed(_ input: [UInt8]) -> FuzzOutcome
}

/// How one input ended.
package enum FuzzOutcome: Hashable, Sendable {
  /// In a way that the target promises: accepted, or refused with this name.
  case ended(String)
  /// In a way that it doesn't promise; says what is wrong.
  case broken(String)
}

extension FuzzTarget {
  /// The generator of input `number`.
  package func generator(_ number: UInt64, seed: UInt64) -> Mutator {
    // The seed goes through the generator once, so that campaigns with neighbouring seeds don't
    // share inputs.
    var first = SplitMix64(seed: seed)
    return Mutator(seed: first.next() &+ number)
  }
}
