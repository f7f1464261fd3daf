package import DeviceSeam

/// BAR0 as the driver reads and writes it, under the kernel's three verbs.
package struct RegisterAccess {
  let window: any RegisterWindow

  package init(_ window: any RegisterWindow) { self.window = window }

  /// The register at `offset`; all ones once the device has gone.
  ///
  /// Kernel: nvkm_rd32 (include/nvkm/core/device.h)
  @inline(__always)
  package func read(_ offset: UInt32) -> UInt32 { window.read32(at: offset) }

  /// Kernel: nvkm_wr32 (include/nvkm/core/device.h)
  @inline(__always)
  package func write(_ offset: UInt32, _ value: UInt32) { window.write32(value, at: offset) }

  /// Replaces the bits of `mask` by those of `value`, and returns the old word.
  ///
  /// Kernel: nvkm_mask (include/nvkm/core/device.h)
  @discardableResult
  package func modify(_ offset: UInt32, _ mask: UInt32, _ value: UInt32) -> UInt32 {
    let old = window.read32(at: offset)
    window.write32(old & ~mask | value, at: offset)
    return old
  }
}
