import Base
import NVHardware

/// The memory in which an engine keeps its state of a channel while another is loaded.
///
/// Kernel: nvkm_falcon_cclass_bind (nvkm/engine/falcon.c), gf100_ectx_bind
/// (nvkm/engine/fifo/gf100.c)
final class EngineContext {
  private let space: GPUAddressSpace
  private let memory: InstanceObject
  private let address: GPUVirtualAddress
  private let bytes: UInt64

  /// Allocates and maps it, and notes in the channel's instance block where it is.
  init(_ space: GPUAddressSpace, bytes: Int, _ instance: InstanceObject, pointer: Int)
    async throws(KernelError)
  {
    self.space = space
    self.bytes = PageSize.pages(forBytes: UInt64(bytes)) << UInt64(PageSize.shift)
    memory = try space.memory.allocate(bytes: Int(self.bytes))
    do throws(KernelError) {
      let address = try space.allocateRange(bytes: self.bytes)
      do throws(KernelError) {
        try await space.map(.vram(memory.address), at: address, bytes: self.bytes)
      } catch {
        space.freeRange(address, bytes: self.bytes)
        throw error
      }
      self.address = address
    } catch {
      space.memory.free(memory)
      throw error
    }
    instance.write32(
      UInt32(truncatingIfNeeded: address.rawValue) | Class90B5.CONTEXT_POINTER_VIRTUAL, pointer)
    instance.write32(UInt32(truncatingIfNeeded: address.rawValue >> 32), pointer + 4)
  }

  /// A channel that starts begins with no state.
  func clear() { memory.fill(0) }

  func destroy() async {
    await space.unmap(address, bytes: bytes)
    space.freeRange(address, bytes: bytes)
    space.memory.free(memory)
  }
}

/// What an engine wants of each channel: how much memory, and where its address goes.
package struct EngineContextLayout: Hashable, Sendable {
  package let byteCount: Int
  /// Offset in the instance block.
  package let pointer: Int
}
