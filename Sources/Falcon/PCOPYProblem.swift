/// What a copy engine was asked to do that hardware hangs on or that no source describes.
public enum PCOPYProblem: Hashable, Sendable {
  /// A trigger while a copy runs; it was dropped.
  case triggeredWhileBusy
  /// START_MODE 3.
  case unknownStartMode
  /// CTRL bits of which no source says what they do.
  case unknownControlBits(UInt32)
  /// Source and destination line lengths that don't belong together.
  case lineLengthMismatch(source: UInt32, destination: UInt32)
  /// The swizzle map uses no source byte but a source length is set (hardware hangs), or the
  /// reverse.
  case sourceReferenceMismatch
  /// A swizzle map byte that is none of the known codes, or lies outside the source step.
  case badSwizzleByte(UInt8)
  /// More lines or longer ones than any method can ask for; no source gives the registers' widths.
  case tooLarge(lines: UInt32, lineBytes: UInt32)
  /// A block-linear surface without block height, or whose remaining lines exceed it.
  case badBlock
}
