import Base
import NVHardware

/// PASCAL_DMA_COPY_A.
package struct CopyEngineC0B5: CopyMethods {
  package init() {}

  package var classID: UInt32 { ClassC0B5.classID }
  package var subchannel: UInt32 { ClassC0B5.subchannel }
  package var copyDwords: Int { 13 }
  package var clearDwords: Int { 12 }
  /// Elements of 8 bytes, counted in 32 bits.
  package var maximumClear: UInt64 { UInt64(UInt32.max & ~511) * 8 }

  private typealias C = ClassC0B5

  // What every launch has: waits for the one before, flushes, no semaphore, no interrupt, pitch.
  private static let launch =
    C.LAUNCH_DMA_DATA_TRANSFER_TYPE.make32(C.LAUNCH_DMA_DATA_TRANSFER_TYPE_NON_PIPELINED)
    | C.LAUNCH_DMA_FLUSH_ENABLE.make32(1)
    | C.LAUNCH_DMA_SRC_MEMORY_LAYOUT.make32(C.LAUNCH_DMA_MEMORY_LAYOUT_PITCH)
    | C.LAUNCH_DMA_DST_MEMORY_LAYOUT.make32(C.LAUNCH_DMA_MEMORY_LAYOUT_PITCH)
  private static let multiLine = launch | C.LAUNCH_DMA_MULTI_LINE_ENABLE.make32(1)
  private static let remapped = launch | C.LAUNCH_DMA_REMAP_ENABLE.make32(1)
  private static let physicalSource = C.LAUNCH_DMA_SRC_TYPE.make32(1)
  private static let physicalDestination = C.LAUNCH_DMA_DST_TYPE.make32(1)
  /// Two components of four bytes, both constant.
  private static let zeroComponents =
    C.SET_REMAP_COMPONENTS_DST_X.make32(C.SET_REMAP_COMPONENTS_CONST_A)
    | C.SET_REMAP_COMPONENTS_DST_Y.make32(C.SET_REMAP_COMPONENTS_CONST_B)
    | C.SET_REMAP_COMPONENTS_COMPONENT_SIZE.make32(3)
    | C.SET_REMAP_COMPONENTS_NUM_DST_COMPONENTS.make32(1)

  /// The physical target's number; nil for a virtual address.
  @inline(__always)
  private func target(_ address: CopyAddress) -> UInt32? {
    switch address {
    case .vram: C.PHYS_MODE_TARGET_LOCAL_FB
    case .host: C.PHYS_MODE_TARGET_COHERENT_SYSMEM
    case .virtual: nil
    }
  }

  /// Kernel: nvc0b5_migrate_copy (nouveau_dmem.c)
  package func copy(
    _ writer: inout PushWriter, from: CopyAddress, to: CopyAddress, lineBytes: UInt32,
    lines: UInt32, pitch: UInt32
  ) {
    var launch = Self.multiLine
    if let target = target(from) {
      writer.immediate(C.subchannel, C.SET_SRC_PHYS_MODE, target)
      launch |= Self.physicalSource
    }
    if let target = target(to) {
      writer.immediate(C.subchannel, C.SET_DST_PHYS_MODE, target)
      launch |= Self.physicalDestination
    }
    writer.begin(C.subchannel, C.OFFSET_IN_UPPER, count: 8)
    writer.word(UInt32(truncatingIfNeeded: from.rawValue >> 32))
    writer.word(UInt32(truncatingIfNeeded: from.rawValue))
    writer.word(UInt32(truncatingIfNeeded: to.rawValue >> 32))
    writer.word(UInt32(truncatingIfNeeded: to.rawValue))
    writer.word(pitch)
    writer.word(pitch)
    writer.word(lineBytes)
    writer.word(lines)
    writer.begin(C.subchannel, C.LAUNCH_DMA, count: 1)
    writer.word(launch)
  }

  /// Kernel: nvc0b5_migrate_clear (nouveau_dmem.c)
  package func clear(_ writer: inout PushWriter, to: CopyAddress, bytes: UInt64) {
    invariant(
      bytes.isMultiple(of: 8) && bytes <= maximumClear, "a clear of \(bytes) bytes")
    var launch = Self.remapped
    if let target = target(to) {
      writer.immediate(C.subchannel, C.SET_DST_PHYS_MODE, target)
      launch |= Self.physicalDestination
    }
    writer.begin(C.subchannel, C.SET_REMAP_CONST_A, count: 3)
    writer.word(0)
    writer.word(0)
    writer.word(Self.zeroComponents)
    writer.begin(C.subchannel, C.OFFSET_OUT_UPPER, count: 2)
    writer.word(UInt32(truncatingIfNeeded: to.rawValue >> 32))
    writer.word(UInt32(truncatingIfNeeded: to.rawValue))
    writer.begin(C.subchannel, C.LINE_LENGTH_IN, count: 1)
    writer.word(UInt32(bytes / 8))
    writer.begin(C.subchannel, C.LAUNCH_DMA, count: 1)
    writer.word(launch)
  }
}
