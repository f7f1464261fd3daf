package import Base

/// Where VRAM lies in the device's physical address space.
package struct VRAMLayout: Hashable, Sendable {
  /// Bytes of all partitions.
  package let total: UInt64
  /// Bytes from address 0 on that every partition takes part in.
  package let lower: UInt64
  /// Where the rest begins when partitions differ ("mixed memory").
  package let upperBase: UInt64

  package init(total: UInt64, lower: UInt64, upperBase: UInt64) {
    self.total = total
    self.lower = lower
    self.upperBase = upperBase
  }

  /// SOURCE: nvkm/subdev/fb/ramgp100.c: `.upper`.
  package static let upperOffset: UInt64 = 0x10_0000_0000
  /// Kept for VGA. SOURCE: nvkm/subdev/fb/ramgf100.c: rsvd_head.
  package static let reservedHead: UInt64 = 256 << 10
  /// Kept for the video BIOS. SOURCE: nvkm/subdev/fb/ramgf100.c: rsvd_tail.
  package static let reservedTail: UInt64 = 1 << 20

  /// What the driver may use; `ENOMEM` when the reserved parts leave nothing.
  ///
  /// Kernel: gf100_ram_ctor (nvkm/subdev/fb/ramgf100.c)
  package func usable() throws(KernelError) -> [Range<VRAMAddress>] {
    guard total > Self.reservedHead + Self.reservedTail, lower <= total else { throw .ENOMEM }
    func range(_ low: UInt64, _ high: UInt64) -> [Range<VRAMAddress>] {
      low < high ? [VRAMAddress(low)..<VRAMAddress(high)] : []
    }
    if lower == total { return range(Self.reservedHead, total - Self.reservedTail) }
    let upper = total - lower
    let ranges =
      range(Self.reservedHead, lower)
      + (upper > Self.reservedTail ? range(upperBase, upperBase + upper - Self.reservedTail) : [])
    guard !ranges.isEmpty else { throw .ENOMEM }
    return ranges
  }
}
