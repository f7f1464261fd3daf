/// One instruction: a row of the table and its bytes.
public struct FalconInstruction: Hashable, Sendable {
  /// The row in ``FalconEncoding/table``.
  public let row: Int
  /// The bytes as a little-endian word; bits above the length are clear.
  public let word: UInt32

  init(row: Int, word: UInt32) {
    self.row = row
    self.word = word
  }

  /// The encoding's row.
  public var encoding: FalconEncoding { FalconEncoding.table[row] }
  /// The number of bytes, 2 to 4.
  public var length: Int { encoding.length }
  /// The operand size, or nil for an operation on whole registers.
  public var size: FalconSize? {
    encoding.isSized ? FalconSize(rawValue: UInt8(truncatingIfNeeded: word & 0xff) >> 6) : nil
  }
  /// The bytes in memory order.
  public var bytes: [UInt8] {
    (0..<length).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) }
  }
  /// The bits that have no meaning in this encoding; the core ignores them.
  public var unusedBits: UInt32 { word & ~encoding.used & Self.mask(length) }

  /// The register number in `field`.
  func register(_ field: FalconField) -> UInt8 { UInt8(word >> field.shift & 0xf) }

  /// The immediate's bits, not extended.
  func rawImmediate(_ width: FalconWidth) -> UInt32 { word >> 16 & width.mask }

  /// The immediate, zero- or sign-extended to 32 bits.
  func immediate(_ width: FalconWidth, signed: Bool) -> UInt32 {
    let raw = rawImmediate(width)
    guard signed else { return raw }
    return width == .byte
      ? UInt32(bitPattern: Int32(Int8(truncatingIfNeeded: raw)))
      : UInt32(bitPattern: Int32(Int16(truncatingIfNeeded: raw)))
  }

  static func mask(_ length: Int) -> UInt32 {
    length >= 4 ? .max : (1 << UInt32(length * 8)) - 1
  }
}
