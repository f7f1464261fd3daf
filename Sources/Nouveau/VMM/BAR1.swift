package import Base
import DeviceSeam
import KernelRuntime
import NVHardware

/// The CPU's window onto VRAM through page tables: USERD, fence words, mapped buffers.
package final class BAR1 {
  private let device: NVKMDevice
  private let aperture: any ApertureWindow
  private let instance: InstanceObject
  package let space: GPUAddressSpace

  /// Makes the address space and its instance block; ``bind()`` puts them to use. `ENODEV` when the
  /// board has no aperture.
  ///
  /// Kernel: gf100_bar_oneinit_bar (nvkm/subdev/bar/gf100.c)
  init(_ device: NVKMDevice, _ mmu: MMU) throws(KernelError) {
    guard let aperture = device.pci.aperture else { throw .ENODEV }
    self.device = device
    self.aperture = aperture
    let limit = aperture.byteCount
    let managed = GPUVirtualAddress(0)..<GPUVirtualAddress(limit)
    instance = try mmu.memory.allocate(bytes: NV_RAMIN.byteCount)
    do throws(KernelError) {
      space = try GPUAddressSpace(mmu, "bar1", limit: limit, managed: managed, isBAR: true)
    } catch {
      mmu.memory.free(instance)
      throw error
    }
    space.join(instance)
  }

  /// Points the aperture at the address space; `EIO` when the hardware doesn't take it.
  ///
  /// Kernel: gf100_bar_bar1_init, gm107_bar_bar1_wait (nvkm/subdev/bar/gf100.c, gm107.c)
  func bind() async throws(KernelError) {
    typealias P = NV_PBUS
    let registers = device.registers
    registers.write(
      P.BAR1_BLOCK,
      P.BAR_BLOCK_MODE_VIRTUAL.make32(1)
        | P.BAR_BLOCK_PTR.make32(UInt32(instance.address.rawValue >> 12)))
    let busy =
      P.BIND_STATUS_BAR1_PENDING.make32(1) | P.BIND_STATUS_BAR1_OUTSTANDING.make32(1)
    guard
      await device.wait(
        HardwareLimit.operation, until: { registers.read(P.BIND_STATUS) & busy == 0 })
    else { throw .EIO }
  }

  /// Kernel: gf100_bar_bar1_fini (nvkm/subdev/bar/gf100.c)
  func unbind() {
    device.registers.modify(
      NV_PBUS.BAR1_BLOCK, NV_PBUS.BAR_BLOCK_MODE_VIRTUAL.make32(1), 0)
  }

  /// Rewrites the binding after a fault of the aperture.
  ///
  /// Kernel: nvkm_bar_bar1_reset (nvkm/subdev/bar/base.c)
  func reset() {
    unbind()
    device.registers.modify(
      NV_PBUS.BAR1_BLOCK, NV_PBUS.BAR_BLOCK_MODE_VIRTUAL.make32(1),
      NV_PBUS.BAR_BLOCK_MODE_VIRTUAL.make32(1))
  }

  func destroy() async {
    unbind()
    await space.destroy()
    space.memory.free(instance)
  }

  // MARK: mappings

  /// Maps VRAM and says where in the aperture it lies. 64 KiB pages where size and place allow.
  package func map(_ address: VRAMAddress, bytes: UInt64) async throws(KernelError)
    -> GPUVirtualAddress
  {
    let large: UInt64 = 64 << 10
    let at = try space.allocateRange(
      bytes: bytes, alignment: bytes >= large ? large : UInt64(PageSize.bytes))
    do throws(KernelError) {
      try await space.map(.vram(address), at: at, bytes: bytes)
    } catch {
      space.freeRange(at, bytes: bytes)
      throw error
    }
    return at
  }

  package func unmap(_ address: GPUVirtualAddress, bytes: UInt64) async {
    await space.unmap(address, bytes: bytes)
    space.freeRange(address, bytes: bytes)
  }

  @inline(__always)
  package func read32(_ address: GPUVirtualAddress) -> UInt32 {
    aperture.read32(at: address.rawValue)
  }
  @inline(__always)
  package func write32(_ value: UInt32, _ address: GPUVirtualAddress) {
    aperture.write32(value, at: address.rawValue)
  }

  /// Waits until writes through BAR1 have reached memory.
  ///
  /// Kernel: g84_bar_flush (nvkm/subdev/bar/g84.c)
  func flush() async {
    let registers = device.registers
    registers.write(NV_UFLUSH.FB_FLUSH, NV_UFLUSH.FB_FLUSH_PENDING.make32(1))
    _ = await device.wait(
      HardwareLimit.operation,
      until: {
        NV_UFLUSH.FB_FLUSH_OUTSTANDING.get(registers.read(NV_UFLUSH.FB_FLUSH)) == 0
      })
  }
}
