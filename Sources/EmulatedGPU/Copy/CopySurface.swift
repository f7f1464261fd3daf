import Base
import NVHardware

/// One side of a copy: where the bytes of its lines lie, in the side's own addresses.
struct CopySurface {
  let base: UInt64
  private let isPitch: Bool
  private let pitch: Int64
  private let originX: UInt64
  private let originY: UInt64
  private let layer: UInt64
  /// Blocks in a row, GOBs in a block, and log2 of a block's measures in GOBs.
  private let blocksAcross: UInt64
  private let blocksDown: UInt64
  private let width: UInt32
  private let height: UInt32
  private let depth: UInt32

  /// Bytes across a GOB, and its rows. SOURCE: envytools docs/hw/memory/g80-surface.rst.
  private static let gobBytes: UInt64 = 64
  private static let gobRows: UInt64 = 8
  static let gobSize: UInt64 = 512

  init(_ side: CopyState.Surface, isPitch: Bool) {
    self.isPitch = isPitch
    base = side.address
    pitch = Int64(Int32(bitPattern: side.pitch))
    originX = UInt64(ClassC0B5.ORIGIN_X.get(side.origin))
    originY = UInt64(ClassC0B5.ORIGIN_Y.get(side.origin))
    layer = UInt64(side.layer)
    width = side.blockSize & 0xf
    height = side.blockSize >> 4 & 0xf
    depth = side.blockSize >> 8 & 0xf
    let across = Self.gobBytes << UInt64(width)
    let down = Self.gobRows << UInt64(height)
    blocksAcross = (UInt64(side.width) + across - 1) / across
    blocksDown = (UInt64(side.height) + down - 1) / down
  }

  /// The address of a byte of a line, and how many follow it without a gap, at least 1.
  @inline(__always)
  func locate(line: UInt64, x: UInt64) -> (address: UInt64, run: UInt64) {
    if isPitch {
      return (base &+ UInt64(bitPattern: Int64(line) &* pitch) &+ x, .max)
    }
    return locateBlockLinear(line, x)
  }

  /// Blocks follow each other across, then down, then in depth; GOBs in a block likewise; bytes in
  /// a GOB run along its rows. Methods can describe surfaces larger than any address space: their
  /// addresses wrap, as those of lines in pitch layout do.
  private func locateBlockLinear(_ line: UInt64, _ column: UInt64) -> (UInt64, UInt64) {
    let x = originX + column
    let y = originY + line
    let gobX = x / Self.gobBytes
    let gobY = y / Self.gobRows
    let block =
      ((layer >> UInt64(depth)) &* blocksDown &+ (gobY >> UInt64(height))) &* blocksAcross
      &+ (gobX >> UInt64(width))
    let inX = gobX & ((1 << UInt64(width)) - 1)
    let inY = gobY & ((1 << UInt64(height)) - 1)
    let inZ = layer & ((1 << UInt64(depth)) - 1)
    let gob = (inZ << UInt64(height) | inY) << UInt64(width) | inX
    let blockSize = Self.gobSize << UInt64(width + height + depth)
    let inGob = (y % Self.gobRows) * Self.gobBytes + x % Self.gobBytes
    return (
      base &+ block &* blockSize &+ gob &* Self.gobSize &+ inGob,
      Self.gobBytes - x % Self.gobBytes
    )
  }

  /// What is wrong with a block-linear surface for lines of `bytes`, if anything.
  static func error(_ side: CopyState.Surface, lineBytes: UInt64, lines: UInt64) -> LaunchError? {
    typealias C = ClassC0B5
    guard side.address % gobSize == 0 else { return .INVALID_ALIGNMENT }
    guard C.BLOCK_SIZE_GOB_HEIGHT.get(side.blockSize) == C.BLOCK_SIZE_GOB_HEIGHT_FERMI_8,
      C.BLOCK_SIZE_WIDTH.get(side.blockSize) == 0, C.BLOCK_SIZE_HEIGHT.get(side.blockSize) <= 5,
      C.BLOCK_SIZE_DEPTH.get(side.blockSize) <= 5
    else { return .INVALID_VALUE }
    guard side.layer < max(1, side.depth) else { return .LAYER_EXCEEDS_DEPTH_2D }
    let right = UInt64(C.ORIGIN_X.get(side.origin)) + lineBytes
    let bottom = UInt64(C.ORIGIN_Y.get(side.origin)) + lines
    guard right <= UInt64(side.width), bottom <= UInt64(side.height) else {
      return .MEM2MEM_RECT_OUT_OF_BOUNDS
    }
    return nil
  }
}
