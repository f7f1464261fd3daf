import Base
import DMAFence
import KernelRuntime
import NVHardware

/// The fence words of all channels: 16 bytes a channel in VRAM, seen by every channel and by the
/// CPU (`struct nv84_fence_priv`).
package final class FenceStorage {
  private let device: NVKMDevice
  private let bar1: BAR1
  let buffer: BufferObject
  /// Where the words begin in BAR1.
  private let window: GPUVirtualAddress
  let byteCount: UInt64
  /// The first of the contexts: one a channel id.
  let contextBase: UInt64
  /// The words' contents while the device sleeps.
  private var saved: [UInt32]?

  /// SOURCE: nv84_fence.c: `nv84_fence_chid(chan) * 16`.
  static let bytesPerChannel: UInt64 = 16
  /// What a channel sees of the words.
  private static let mappedBytes = UInt64(PageSize.bytes)

  /// Kernel: nv84_fence_create (nv84_fence.c)
  init(
    _ device: NVKMDevice, _ bar1: BAR1, _ buffers: BufferManager, channels: Int,
    contexts: FenceContexts
  ) async throws(KernelError) {
    self.device = device
    self.bar1 = bar1
    // The size of a large page, so that BAR1 needs no table of small ones.
    let buffer = BufferObject(buffers, bytes: 64 << 10, alignment: 64 << 10, isSaved: false)
    do throws(KernelError) {
      try buffer.pin()
    } catch {
      buffer.destroy()
      throw error
    }
    do throws(KernelError) {
      window = try await bar1.map(buffer.placement(), bytes: buffer.size)
    } catch {
      buffer.unpin()
      buffer.destroy()
      throw error
    }
    self.buffer = buffer
    byteCount = buffer.size
    contextBase = contexts.allocate(channels)
    invariant(UInt64(channels) * Self.bytesPerChannel <= Self.mappedBytes, "too many channels")
  }

  /// Kernel: nv84_fence_destroy (nv84_fence.c)
  func destroy() async {
    await bar1.unmap(window, bytes: byteCount)
    buffer.unpin()
    buffer.destroy()
  }

  /// Maps the words into a channel's address space.
  ///
  /// Kernel: nv84_fence_context_new, nouveau_vma_new (nv84_fence.c, nouveau_vmm.c)
  func map(into space: GPUAddressSpace) async throws(KernelError) -> GPUVirtualAddress {
    // One small page: it shares the push buffer's table.
    let address = try space.allocateRange(bytes: Self.mappedBytes)
    do throws(KernelError) {
      try await space.map(.vram(buffer.placement()), at: address, bytes: Self.mappedBytes)
    } catch {
      space.freeRange(address, bytes: Self.mappedBytes)
      throw error
    }
    return address
  }

  func unmap(_ address: GPUVirtualAddress, from space: GPUAddressSpace) async {
    await space.unmap(address, bytes: Self.mappedBytes)
    space.freeRange(address, bytes: Self.mappedBytes)
  }

  /// The word of a channel as the hardware last wrote it.
  ///
  /// Kernel: nv84_fence_read (nv84_fence.c)
  @inline(__always)
  func read(_ id: UInt32) -> UInt32 {
    bar1.read32(window + UInt64(id) * Self.bytesPerChannel)
  }

  func write(_ value: UInt32, _ id: UInt32) {
    bar1.write32(value, window + UInt64(id) * Self.bytesPerChannel)
  }

  /// Kernel: nv84_fence_suspend (nv84_fence.c)
  func save(channels: Int) {
    if saved == nil { saved = (0..<UInt32(channels)).map { read($0) } }
  }

  /// Kernel: nv84_fence_resume (nv84_fence.c)
  func restore() {
    guard let words = saved else { return }
    for (id, word) in words.enumerated() { write(word, UInt32(id)) }
    saved = nil
  }
}
