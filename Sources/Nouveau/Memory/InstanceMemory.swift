package import Base
import DeviceSeam
import KernelRuntime
import NVHardware

/// VRAM that the hardware itself reads: instance blocks, page tables, runlists, buffers of the
/// host. The CPU reaches it through the PRAMIN window, a MiB at a time.
///
/// LOCKING: everything here is synchronous, as the kernel's is under `nvkm_instmem.lock`.
package final class InstanceMemory {
  private let device: NVKMDevice
  private let vram: VRAMAllocator
  /// The window's place as last written; the register keeps it, so it is not read back.
  private var windowBase = UInt64.max
  /// Live objects, for suspend; in no particular order.
  private var objects: [InstanceObject] = []

  init(_ device: NVKMDevice, _ vram: VRAMAllocator) {
    self.device = device
    self.vram = vram
  }

  package var objectCount: Int { objects.count }

  /// Contiguous instance memory; `zeroed` or with whatever was there.
  ///
  /// Kernel: nvkm_instobj_new (nvkm/subdev/instmem/base.c)
  package func allocate(bytes: Int, alignment: Int = PageSize.bytes, zeroed: Bool = true)
    throws(KernelError) -> InstanceObject
  {
    let address = try vram.allocate(bytes: UInt64(bytes), alignment: UInt64(alignment))
    if zeroed { fill(0, at: address, bytes: bytes) }
    let object = InstanceObject(self, address, bytes, slot: objects.count)
    objects.append(object)
    return object
  }

  /// Kernel: nvkm_instobj_dtor (nvkm/subdev/instmem/base.c)
  package func free(_ object: InstanceObject) {
    let slot = object.slot
    invariant(slot < objects.count && objects[slot] === object, "instance memory freed twice")
    objects[slot] = objects[objects.count - 1]
    objects[slot].slot = slot
    objects.removeLast()
    vram.free(object.address, bytes: UInt64(object.byteCount))
  }

  // MARK: the window

  /// Kernel: nv50_instobj_rd32_slow (nvkm/subdev/instmem/nv50.c)
  @inline(__always)
  package func read32(_ address: VRAMAddress) -> UInt32 {
    device.registers.read(windowOffset(address))
  }

  /// Kernel: nv50_instobj_wr32_slow (nvkm/subdev/instmem/nv50.c)
  @inline(__always)
  package func write32(_ value: UInt32, _ address: VRAMAddress) {
    device.registers.write(windowOffset(address), value)
  }

  /// Fills whole dwords, window by window.
  package func fill(_ value: UInt32, at address: VRAMAddress, bytes: Int) {
    var at = address
    var left = bytes
    while left > 0 {
      let offset = windowOffset(at)
      let run = min(left, Int(NV_PRAMIN.base + NV_PRAMIN.byteCount - offset))
      device.registers.window.fill32(value, at: offset, count: run / 4)
      at += UInt64(run)
      left -= run
    }
  }

  /// Writes 64-bit words in a row, each `step` above the one before. The range lies in one window:
  /// no page table crosses a MiB.
  func writeSeries(_ first: UInt64, step: UInt64, at address: VRAMAddress, count: Int) {
    device.registers.window.writeSeries(
      first, step: step, at: windowOffset(address), count: count)
  }

  @inline(__always)
  private func windowOffset(_ address: VRAMAddress) -> UInt32 {
    let base = address.rawValue & ~UInt64(NV_PRAMIN.byteCount - 1)
    if base != windowBase {
      windowBase = base
      device.registers.write(
        NV_PBUS.BAR0_WINDOW, NV_PBUS.BAR0_WINDOW_BASE.make32(UInt32(base >> 16)))
    }
    return NV_PRAMIN.base
      + UInt32(truncatingIfNeeded: address.rawValue & UInt64(NV_PRAMIN.byteCount - 1))
  }

  // MARK: suspend

  /// Copies every object to system memory. VRAM loses power in suspend. What is kept already and
  /// was not restored yet stays as it is.
  ///
  /// Kernel: nvkm_instmem_fini, nvkm_instobj_save (nvkm/subdev/instmem/base.c)
  func save() {
    for object in objects where object.saved == nil {
      object.saved = (0..<(object.byteCount / 4)).map { object.read32($0 * 4) }
    }
  }

  /// Writes back what ``save()`` kept.
  ///
  /// Kernel: nvkm_instmem_init, nvkm_instobj_load (nvkm/subdev/instmem/base.c)
  func restore() {
    windowBase = .max
    for object in objects {
      guard let words = object.saved else { continue }
      for (index, word) in words.enumerated() { object.write32(word, index * 4) }
      object.saved = nil
    }
  }

  /// Forgets where the window stands; after a reset of the bus unit.
  func forgetWindow() { windowBase = .max }
}

/// A piece of instance memory (`struct nvkm_instobj`).
package final class InstanceObject {
  private unowned let memory: InstanceMemory
  package let address: VRAMAddress
  package let byteCount: Int
  fileprivate(set) var slot: Int
  fileprivate var saved: [UInt32]?

  fileprivate init(
    _ memory: InstanceMemory, _ address: VRAMAddress, _ byteCount: Int, slot: Int
  ) {
    self.memory = memory
    self.address = address
    self.byteCount = byteCount
    self.slot = slot
  }

  /// The dword at a byte offset.
  @inline(__always)
  package func read32(_ offset: Int) -> UInt32 {
    memory.read32(address + UInt64(offset))
  }
  @inline(__always)
  package func write32(_ value: UInt32, _ offset: Int) {
    memory.write32(value, address + UInt64(offset))
  }
  package func read64(_ offset: Int) -> UInt64 {
    UInt64(read32(offset + 4)) << 32 | UInt64(read32(offset))
  }
  /// Writes the high half first: an entry's VALID bit is in the low one.
  package func write64(_ value: UInt64, _ offset: Int) {
    write32(UInt32(truncatingIfNeeded: value >> 32), offset + 4)
    write32(UInt32(truncatingIfNeeded: value), offset)
  }
  /// Writes `first`, `first + step`, … as `count` 64-bit words.
  package func writeSeries(_ first: UInt64, step: UInt64, _ offset: Int, count: Int) {
    memory.writeSeries(first, step: step, at: address + UInt64(offset), count: count)
  }
  /// Fills the whole object.
  package func fill(_ value: UInt32) { memory.fill(value, at: address, bytes: byteCount) }
}
