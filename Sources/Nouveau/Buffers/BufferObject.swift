package import Base
import KernelRuntime
import LinuxMM

/// A piece of VRAM that a driver's part owns (`struct nouveau_bo`, domain VRAM).
///
/// Pinned, it has an address that doesn't change, not even over suspend. Unpinned, it keeps its
/// place until suspend moves its bytes to system memory; the next pin, or resume, may place it
/// elsewhere.
package final class BufferObject {
  private let manager: BufferManager
  /// Bytes, a multiple of the page size.
  package let size: UInt64
  package let alignment: UInt64
  /// Whether suspend keeps its bytes; the fence words are kept in another way.
  let isSaved: Bool
  private var address: VRAMAddress?
  package private(set) var pinCount = 0
  /// Where the bytes are while the device sleeps; nil when they are in VRAM.
  var backing: SystemBacking?
  /// Runs of pages, numbered from the object's start, whose bytes matter; nil for all. Asked at
  /// suspend, so that a chunk of which little is used costs little.
  package var occupancy: (() -> [Range<Int>])?

  /// An object without a place; ``pin()`` finds one.
  ///
  /// Kernel: nouveau_bo_new (nouveau_bo.c)
  package init(
    _ manager: BufferManager, bytes: UInt64, alignment: UInt64 = UInt64(PageSize.bytes),
    isSaved: Bool = true
  ) {
    self.manager = manager
    size = PageSize.pages(forBytes: bytes) << UInt64(PageSize.shift)
    self.alignment = alignment
    self.isSaved = isSaved
    manager.add(self)
  }

  /// Its place in VRAM; only a pinned object has one to rely on.
  package var offset: VRAMAddress {
    guard let address, pinCount > 0 else {
      invariantFailed("the offset of a buffer object that isn't pinned")
    }
    return address
  }

  /// ``offset``, for the driver's own set-up.
  func placement() -> VRAMAddress { offset }

  /// Its place now, pinned or not; nil while it has none.
  var currentAddress: VRAMAddress? { address }

  /// Gives the object a place in VRAM and holds it there; pins count. `ENOMEM` when there is no
  /// room. Passes `nouveau.bo_pin`, and `nouveau.vram_alloc` when it needs a place.
  ///
  /// Kernel: nouveau_bo_pin (nouveau_bo.c)
  package func pin() throws(KernelError) {
    try manager.kernel.failures.check(.bufferPin)
    // While the device sleeps, the bytes can't be brought back.
    guard backing == nil else { throw .EBUSY }
    if address == nil { try place() }
    pinCount += 1
  }

  /// Kernel: nouveau_bo_unpin (nouveau_bo.c)
  package func unpin() {
    invariant(pinCount > 0, "a buffer object is unpinned more often than pinned")
    pinCount -= 1
  }

  /// Gives the memory back. Its bytes are not wiped: who gets them next clears or overwrites them.
  ///
  /// Kernel: nouveau_bo_fini, nouveau_bo_del_ttm (nouveau_bo.c)
  package func destroy() {
    invariant(pinCount == 0, "a pinned buffer object is destroyed")
    leavePlace()
    backing?.release(manager.mm)
    backing = nil
    manager.remove(self)
  }

  func place() throws(KernelError) {
    address = try manager.vram.allocate(bytes: size, alignment: alignment)
  }

  func leavePlace() {
    if let address { manager.vram.free(address, bytes: size) }
    address = nil
  }
}
