/// One side of a copy: where each byte of each line lies.
///
/// A linear surface's lines are contiguous and `pitch` apart. A block-linear one consists of blocks
/// that hold `blockLines` lines of `blockWidth` bytes each, one below the other, and after the
/// last layer's lines comes the next block of the row. (The memory system's own swizzle inside such
/// a block, which depends on the page's kind, lies below the addresses seen here.)
/// SOURCE: envytools rnndb/fifo/pcopy.xml; the order of blocks is what the engine's known microcode
/// computes its start addresses and pitches for.
struct PCOPYSurface: Hashable {
  /// The address of the current line's first byte.
  private(set) var line: UInt64
  let lineBytes: Int
  let isBlockLinear: Bool
  let pitch: UInt64
  /// Bytes of a block's line, 16 or 64.
  private let blockWidth: UInt64
  /// Bytes of a block with all its layers.
  private let blockBytes: UInt64
  private let blockLines: UInt64
  private var linesLeft: UInt64
  let port: UInt32

  /// The address space of the unit has 40 bits.
  static let addressMask: UInt64 = 0xff_ffff_ffff

  init(
    addressLow: UInt32, configuration: UInt32, lineBytes: UInt32, block: UInt32, pitch: UInt32,
    isBlockLinear: Bool, isWide: Bool, port: UInt32
  ) throws(PCOPYProblemError) {
    line = UInt64(configuration >> 16 & 0xff) << 32 | UInt64(addressLow)
    self.lineBytes = Int(lineBytes)
    self.isBlockLinear = isBlockLinear
    self.pitch = UInt64(pitch)
    self.port = port
    blockWidth = isWide ? 64 : 16
    blockBytes = UInt64(configuration & 0xffff) * 4 * blockWidth
    blockLines = UInt64(block >> 12 & 0xfff)
    linesLeft = UInt64(block & 0xfff)
    if isBlockLinear {
      guard linesLeft > 0, linesLeft <= blockLines, blockLines * blockWidth <= blockBytes else {
        throw PCOPYProblemError(problem: .badBlock)
      }
    }
  }

  /// The address of byte `x` of the current line, and how many bytes follow it contiguously.
  func run(at x: Int) -> (address: UInt64, count: Int) {
    guard isBlockLinear else {
      return ((line &+ UInt64(x)) & Self.addressMask, lineBytes - x)
    }
    let offset = line % blockWidth &+ UInt64(x)
    let inside = offset % blockWidth
    let address = line &- line % blockWidth &+ offset / blockWidth &* blockBytes &+ inside
    return (address & Self.addressMask, min(lineBytes - x, Int(blockWidth - inside)))
  }

  mutating func advanceLine() {
    guard isBlockLinear else {
      line = (line &+ pitch) & Self.addressMask
      return
    }
    linesLeft -= 1
    if linesLeft > 0 {
      line = (line &+ blockWidth) & Self.addressMask
      return
    }
    linesLeft = blockLines
    // From the block's last line to the first one of the block below.
    line = (line &+ pitch &+ blockBytes &- (blockLines - 1) * blockWidth) & Self.addressMask
  }
}

/// A ``PCOPYProblem`` on its way out of a parser.
struct PCOPYProblemError: Error {
  let problem: PCOPYProblem
}
