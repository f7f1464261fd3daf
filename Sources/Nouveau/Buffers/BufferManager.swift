import Base
import KernelRuntime
import LinuxMM

/// What buffer objects share: where VRAM comes from, and which objects there are
/// (`struct ttm_device`).
package final class BufferManager {
  let kernel: Kernel
  package let vram: VRAMAllocator
  let mm: MemoryManager
  /// Live objects in order of creation.
  package private(set) var buffers: [BufferObject] = []

  init(_ kernel: Kernel, _ vram: VRAMAllocator, _ mm: MemoryManager) {
    self.kernel = kernel
    self.vram = vram
    self.mm = mm
  }

  func add(_ buffer: BufferObject) { buffers.append(buffer) }

  func remove(_ buffer: BufferObject) {
    guard let index = buffers.firstIndex(where: { $0 === buffer }) else {
      invariantFailed("a buffer object is destroyed twice")
    }
    buffers.remove(at: index)
  }

  /// Lets every object go, its memory still in use.
  func abandon() { buffers = [] }
}
