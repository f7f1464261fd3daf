package import Base
import KernelRuntime
import NVHardware

/// The channels' control words: an array in VRAM, 512 bytes a channel, that the CPU reaches through
/// BAR1. On Pascal the write of GP_PUT there is also the doorbell.
package final class USERD {
  private let bar1: BAR1
  private let memory: InstanceMemory
  private let object: InstanceObject
  /// Where the array begins in BAR1.
  let base: GPUVirtualAddress

  /// Kernel: nvkm_fifo_oneinit (nvkm/engine/fifo/base.c)
  init(_ device: NVKMDevice, _ bar1: BAR1, _ memory: InstanceMemory, channels: Int)
    async
    throws(KernelError)
  {
    self.bar1 = bar1
    self.memory = memory
    let bytes = max(channels * NV_RAMUSERD.byteCount, PageSize.bytes)
    object = try memory.allocate(bytes: bytes, alignment: 64 << 10, zeroed: false)
    do throws(KernelError) {
      base = try await bar1.map(object.address, bytes: UInt64(bytes))
    } catch {
      memory.free(object)
      throw error
    }
  }

  func destroy() async {
    await bar1.unmap(base, bytes: UInt64(object.byteCount))
    memory.free(object)
  }

  /// The words' place in VRAM, for RAMFC.
  func address(_ id: UInt32) -> VRAMAddress {
    object.address + UInt64(id) * UInt64(NV_RAMUSERD.byteCount)
  }

  /// Kernel: gf100_chan_userd_clear (nvkm/engine/fifo/gf100.c)
  func clear(_ id: UInt32) {
    let start = Int(id) * NV_RAMUSERD.byteCount
    // SOURCE: gf100_chan_userd_clear: PUT to GET_HI, GP_GET, GP_PUT.
    for offset in [0x40, 0x44, 0x48, 0x4c, 0x50, 0x58, 0x5c, 0x60, 0x88, 0x8c] {
      object.write32(0, start + offset)
    }
  }

  @inline(__always)
  private func place(_ id: UInt32, _ word: Int) -> GPUVirtualAddress {
    base + UInt64(id) * UInt64(NV_RAMUSERD.byteCount) + UInt64(word)
  }

  /// How far the host has consumed the ring; it writes this lazily.
  package func readGPGet(_ id: UInt32) -> UInt32 { bar1.read32(place(id, NV_RAMUSERD.GP_GET)) }

  /// The push buffer address that the host reads from; lazily written, too.
  package func readGet(_ id: UInt32) -> GPUVirtualAddress {
    GPUVirtualAddress(
      UInt64(bar1.read32(place(id, NV_RAMUSERD.GET_HI))) << 32
        | UInt64(bar1.read32(place(id, NV_RAMUSERD.GET))))
  }

  @inline(__always)
  package func writeGPPut(_ id: UInt32, _ value: UInt32) {
    bar1.write32(value, place(id, NV_RAMUSERD.GP_PUT))
  }
}
