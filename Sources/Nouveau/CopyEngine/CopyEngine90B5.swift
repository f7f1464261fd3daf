import Base
import NVHardware

/// Fermi's copy class: PCOPY, whose methods microcode carries out.
///
/// It knows virtual addresses only: a `CopyWindow` gives physical ones a place in the channel's
/// address space first.
package struct CopyEngine90B5: CopyMethods {
  package init() {}

  package var classID: UInt32 { Class90B5.classID }
  package var subchannel: UInt32 { Class90B5.subchannel }
  package var needsVirtualAddresses: Bool { true }
  package var copyDwords: Int { 11 }
  package var clearDwords: Int { 16 }
  /// Lines of a page, counted in 13 bits.
  package var maximumClear: UInt64 { UInt64(maximumCopyPages * PageSize.bytes) }
  package var maximumCopyPages: Int { Int(C.YCNT_LINES.mask) }

  private typealias C = Class90B5

  private static let linear = C.EXEC_SRC_LINEAR.make32(1) | C.EXEC_DST_LINEAR.make32(1)
  /// A pixel of eight bytes, both its components constants; the source isn't read.
  private static let zeroFormat =
    C.FORMAT_SWIZZLE(0).make32(C.FORMAT_SWIZZLE_CONST0)
    | C.FORMAT_SWIZZLE(1).make32(C.FORMAT_SWIZZLE_CONST1)
    | C.FORMAT_COMPONENT_BYTES.make32(3) | C.FORMAT_DST_COMPONENTS.make32(1)

  private func check(_ address: CopyAddress) {
    guard case .virtual = address else {
      invariantFailed("class 90B5 was given a physical address")
    }
  }

  /// Kernel: nvc0_bo_move_copy (nouveau_bo90b5.c)
  package func copy(
    _ writer: inout PushWriter, from: CopyAddress, to: CopyAddress, lineBytes: UInt32,
    lines: UInt32, pitch: UInt32
  ) {
    check(from)
    check(to)
    invariant(
      lineBytes <= C.XCNT_PIXELS.mask && lines <= C.YCNT_LINES.mask && pitch <= C.PITCH.mask,
      "\(lines) lines of \(lineBytes) bytes exceed class 90B5")
    writer.begin(C.subchannel, C.SRC_ADDRESS_HIGH, count: 8)
    writer.word(UInt32(truncatingIfNeeded: from.rawValue >> 32))
    writer.word(UInt32(truncatingIfNeeded: from.rawValue))
    writer.word(UInt32(truncatingIfNeeded: to.rawValue >> 32))
    writer.word(UInt32(truncatingIfNeeded: to.rawValue))
    writer.word(pitch)
    writer.word(pitch)
    writer.word(lineBytes)
    writer.word(lines)
    writer.begin(C.subchannel, C.EXEC, count: 1)
    writer.word(Self.linear)
  }

  /// The kernel has no clear for this class; the swizzle makes the zeros.
  package func clear(_ writer: inout PushWriter, to: CopyAddress, bytes: UInt64) {
    check(to)
    let page = UInt64(PageSize.bytes)
    let isPages = bytes.isMultiple(of: page)
    invariant(
      bytes.isMultiple(of: 8) && (isPages ? bytes <= maximumClear : bytes <= page),
      "a clear of \(bytes) bytes")
    let line = isPages ? page : bytes
    writer.begin(C.subchannel, C.DST_ADDRESS_HIGH, count: 2)
    writer.word(UInt32(truncatingIfNeeded: to.rawValue >> 32))
    writer.word(UInt32(truncatingIfNeeded: to.rawValue))
    writer.begin(C.subchannel, C.DST_PITCH, count: 6)
    writer.word(UInt32(line))
    writer.word(UInt32(line / 8))
    writer.word(UInt32(bytes / line))
    writer.word(Self.zeroFormat)
    writer.word(0)
    writer.word(0)
    writer.begin(C.subchannel, C.EXEC, count: 1)
    writer.word(Self.linear | C.EXEC_FORMAT.make32(1))
  }
}
