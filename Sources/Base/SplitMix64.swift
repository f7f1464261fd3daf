/// A small generator whose whole state is one printable 64-bit word.
///
/// SOURCE: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators",
/// OOPSLA 2014; the constants are those of the paper's `mix64variant13` as published by S. Vigna.
@frozen
public struct SplitMix64: RandomNumberGenerator, Sendable, Hashable {
  public private(set) var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// A number in `0..<bound`, with a bias below bound / 2^64; `bound` is at least 1.
  public mutating func below(_ bound: Int) -> Int {
    invariant(bound > 0, "a draw needs at least one outcome, got \(bound)")
    // The high half of a product, so that the draw doesn't depend on the standard library's
    // version.
    return Int(next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// True with `numerator` chances in `denominator`.
  public mutating func chance(_ numerator: Int, in denominator: Int) -> Bool {
    below(denominator) < numerator
  }

  /// An independent generator for a named purpose, derived from this one's next word.
  public mutating func split() -> SplitMix64 { SplitMix64(seed: next()) }
}
