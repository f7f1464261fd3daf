/// A field `high:low` of a register, method or table entry, named as the manuals name it.
///
/// Bit positions count from 0; both ends are inclusive, as in NVIDIA's `hi:lo` ranges.
@frozen
public struct BitField: Hashable, Sendable {
  /// The highest bit of the field.
  public let high: Int
  /// The lowest bit of the field.
  public let low: Int

  @inlinable
  @inline(__always)
  public init(_ high: Int, _ low: Int) {
    invariant(high >= low && low >= 0 && high < 64, "bit field \(high):\(low)")
    self.high = high
    self.low = low
  }

  /// A field of one bit.
  @inlinable
  @inline(__always)
  public init(bit: Int) { self.init(bit, bit) }

  /// The number of bits.
  @inlinable
  @inline(__always)
  public var width: Int { high - low + 1 }

  /// The field's bits set in place, all others clear.
  @inlinable
  @inline(__always)
  public var mask: UInt64 { (width == 64 ? ~0 : (1 << UInt64(width)) - 1) << UInt64(low) }

  /// The largest value the field can hold.
  @inlinable
  @inline(__always)
  public var maximum: UInt64 { mask >> UInt64(low) }

  /// The field's value in `word`.
  @inlinable
  @inline(__always)
  public func get(_ word: UInt64) -> UInt64 { (word & mask) >> UInt64(low) }
  /// The field's value in `word`.
  @inlinable
  @inline(__always)
  public func get(_ word: UInt32) -> UInt32 { UInt32(truncatingIfNeeded: get(UInt64(word))) }

  /// `value` shifted into place; traps when it doesn't fit, which is a programmer's error.
  @inlinable
  @inline(__always)
  public func make(_ value: UInt64) -> UInt64 {
    if _slowPath(value > maximum) { refuse(value) }
    return value << UInt64(low)
  }
  /// Apart from ``make(_:)``, so that its uses stay small.
  @usableFromInline
  @inline(never)
  func refuse(_ value: UInt64) -> Never {
    invariantFailed("\(value) does not fit bits \(high):\(low)")
  }
  /// `value` shifted into place in a 32-bit word.
  @inlinable
  @inline(__always)
  public func make32(_ value: UInt32) -> UInt32 { UInt32(make(UInt64(value))) }

  /// `word` with the field replaced by `value`.
  @inlinable
  @inline(__always)
  public func set(_ word: UInt64, to value: UInt64) -> UInt64 { (word & ~mask) | make(value) }
  /// `word` with the field replaced by `value`.
  @inlinable
  @inline(__always)
  public func set(_ word: UInt32, to value: UInt32) -> UInt32 {
    UInt32(set(UInt64(word), to: UInt64(value)))
  }
}
