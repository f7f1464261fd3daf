public import Base
import DMAFence
public import DeviceSeam
public import KernelRuntime
public import LinuxMM
import NVHardware

/// What bring-up makes, in the order of making.
struct Units {
  let kernel: Kernel
  let mm: MemoryManager
  let options: DriverOptions
  let function: PCIFunction
  let device: NVKMDevice
  let topology: Topology
  let layout: VRAMLayout
  let flushPage: CoherentBuffer
  let vram: VRAMAllocator
  let instanceMemory: InstanceMemory
  let mmu: MMU
  let bar1: BAR1
  let interrupts: InterruptController
  let fifo: FIFO
  let copyEngines: [CopyEngineUnit]
  let buffers: BufferManager
  let fenceStorage: FenceStorage
  let kernelSpace: GPUAddressSpace
}

extension NouveauDevice {
  /// Brings a GPU up, from PCI to a channel on a copy engine. On an error everything is undone.
  ///
  /// `ENODEV` for a device that isn't there, isn't supported, or has no copy engine; `EOPNOTSUPP`
  /// for one that was identified and may only be read (``identify(_:)`` says what it is); the error
  /// of a `FirmwareFailure`, which the log names, for an engine without microcode; `ENOSYS` when
  /// its byte order can't be set; `EIO` when firmware hasn't posted it or a unit doesn't answer;
  /// `ENOMEM` when VRAM or coherent memory is short.
  ///
  /// Kernel: nouveau_drm_probe, nouveau_drm_device_init (nouveau_drm.c)
  public static func probe(
    _ kernel: Kernel, _ mm: MemoryManager, _ pci: any PCIDevice,
    options: DriverOptions = DriverOptions(), firmware: (any FirmwareStore)? = nil
  ) async throws(KernelError) -> NouveauDevice {
    guard pci.side.mayBeDriven else {
      _ = try identify(pci)
      throw .EOPNOTSUPP
    }
    let teardown = TeardownStack()
    do throws(KernelError) {
      let units = try await makeUnits(kernel, mm, pci, options, firmware, teardown)
      let channel = try await makeCopyChannel(units, teardown)
      return NouveauDevice(units, channel, teardown)
    } catch {
      await teardown.run()
      throw error
    }
  }

  /// From configuration space to memory that can be used.
  ///
  /// Kernel: nvkm_device_pci_new, nvkm_device_ctor, nvkm_device_init (nvkm/engine/device)
  private static func makeUnits(
    _ kernel: Kernel, _ mm: MemoryManager, _ pci: any PCIDevice, _ options: DriverOptions,
    _ firmware: (any FirmwareStore)?, _ teardown: TeardownStack
  ) async throws(KernelError) -> Units {
    invariant(
      (2...128).contains(options.channels) && options.channels.nonzeroBitCount == 1,
      "\(options.channels) channels")
    let function = PCIFunction(pci: pci)
    guard function.isSupported else { throw .ENODEV }
    try function.enable()
    teardown.push("pci") { function.disable() }

    let identity = try ChipIdentity(probing: RegisterAccess(pci.registers))
    let chip = try ChipTable.chip(identity.chipset)
    let log = DeviceLog()
    let device = NVKMDevice(
      kernel, pci, chip: chip, identity: identity, log: log, label: options.label)
    teardown.push("loss observers") { device.forgetLossObservers() }
    let registers = device.registers
    guard chip.isPosted(registers) else {
      log.error("devinit", "the board was not posted by firmware")
      throw .EIO
    }
    // Nothing interrupts until its handler stands.
    registers.write(NV_PMC.INTR_EN_CLEAR(0), .max)
    registers.write(NV_PMC.INTR_EN_CLEAR(1), .max)
    initializeCore(registers)

    let layout = try chip.probeVRAM(registers)
    let vram = VRAMAllocator(kernel, try layout.usable())
    let flushPage = try pci.dma.allocateCoherent(bytes: PageSize.bytes)
    teardown.push("flush page") { pci.dma.freeCoherent(flushPage) }
    guard DMAMask(bits: chip.dmaBits).covers(flushPage.address, flushPage.byteCount) else {
      throw .EIO
    }
    chip.initializeMemoryHub(registers, flushPage: flushPage.address)

    let topology = Topology(registers, log)
    let instanceMemory = InstanceMemory(device, vram)
    let mmu = MMU(device, instanceMemory)
    let bar1 = try BAR1(device, mmu)
    teardown.push("bar1") { await bar1.destroy() }
    try await bar1.bind()

    let fifo = try await FIFO(
      device, instanceMemory, bar1, topology, channels: options.channels)
    teardown.push("fifo") {
      fifo.finish()
      await fifo.destroy()
    }
    fifo.initialize()
    fifo.resetBAR1 = { [unowned bar1] in bar1.reset() }
    let copyEngines = try await startCopyEngines(device, fifo, firmware, teardown)
    let interrupts = try startInterrupts(device, fifo, copyEngines, teardown)

    let buffers = BufferManager(kernel, vram, mm)
    let contexts = options.fenceContexts ?? FenceContexts(kernel)
    let storage = try await FenceStorage(
      device, bar1, buffers, channels: options.channels, contexts: contexts)
    teardown.push("fence storage") { await storage.destroy() }
    let space = try GPUAddressSpace(mmu, "kernel", managed: Self.managedAddresses)
    teardown.push("kernel space") { await space.destroy() }
    return Units(
      kernel: kernel, mm: mm, options: options, function: function, device: device,
      topology: topology, layout: layout, flushPage: flushPage, vram: vram,
      instanceMemory: instanceMemory, mmu: mmu, bar1: bar1, interrupts: interrupts, fifo: fifo,
      copyEngines: copyEngines, buffers: buffers, fenceStorage: storage, kernelSpace: space)
  }

  /// Push buffer addresses have 40 bits. Page 0 stays free, so that address 0 is no segment.
  static let managedAddresses = GPUVirtualAddress(1 << 16)..<GPUVirtualAddress(1 << 40)

  /// Releases every unit from reset and quiets the bus and the timer.
  ///
  /// Kernel: nv50_mc_init, gf100_bus_init, nvkm_timer_init (nvkm/subdev/{mc,bus,timer})
  static func initializeCore(_ registers: RegisterAccess) {
    registers.write(NV_PMC.ENABLE, .max)
    registers.write(NV_PBUS.INTR_0, .max)
    registers.write(
      NV_PBUS.INTR_EN_0,
      NV_PBUS.INTR_0_PRI_SQUASH.make32(1) | NV_PBUS.INTR_0_PRI_FECSERR.make32(1)
        | NV_PBUS.INTR_0_PRI_TIMEOUT.make32(1))
    PTimer(registers: registers).initialize()
  }

  /// Sets the copy engines up; those that run microcode get theirs, from `firmware`. The first
  /// error ends it.
  private static func startCopyEngines(
    _ device: NVKMDevice, _ fifo: FIFO, _ firmware: (any FirmwareStore)?,
    _ teardown: TeardownStack
  ) async throws(KernelError) -> [CopyEngineUnit] {
    let engines = fifo.topology.copyEngines.map {
      device.chip.makeCopyEngine(device, $0, firmware: firmware)
    }
    teardown.push("copy engines") { for engine in engines { engine.finish() } }
    for engine in engines { try await engine.initialize() }
    fifo.reinitialize = { entry in
      for engine in engines where engine.entry == entry {
        // It has said why; the next channel that needs it finds it silent and fails.
        try? await engine.initialize()
      }
    }
    return engines
  }

  /// Errors stand before completions: copy engines, then the bus, then the host.
  private static func startInterrupts(
    _ device: NVKMDevice, _ fifo: FIFO, _ copyEngines: [CopyEngineUnit],
    _ teardown: TeardownStack
  ) throws(KernelError) -> InterruptController {
    let interrupts = InterruptController(device)
    for engine in copyEngines where engine.entry.interrupt < 32 {
      interrupts.add(1 << engine.entry.interrupt) { [unowned fifo, unowned engine] _ in
        if engine.handleInterrupt() { fifo.failChannels(of: engine.entry) }
      }
    }
    interrupts.add(NV_PMC.INTR_PBUS.make32(1)) { [unowned device] _ in BusErrors.handle(device) }
    interrupts.add(NV_PMC.INTR_PFIFO.make32(1)) { [unowned fifo] _ in fifo.handleInterrupt() }
    teardown.push("interrupt handlers") { interrupts.removeHandlers() }
    try interrupts.start()
    teardown.push("interrupts") { interrupts.stop() }
    device.whenLost { [unowned fifo] in
      for channel in fifo.liveChannels { channel.kill(.ENODEV) }
    }
    return interrupts
  }

  /// Kernel: nouveau_accel_ce_init, nouveau_bo_move_init (nouveau_drm.c, nouveau_bo.c)
  private static func makeCopyChannel(_ units: Units, _ teardown: TeardownStack)
    async
    throws(KernelError) -> Channel
  {
    guard let runlist = units.fifo.copyRunlist else {
      units.device.log.error("drm", "no copy engine")
      throw .ENODEV
    }
    let channel = try await Channel.make(
      units.fifo, runlist, name: "copy engine channel", space: units.kernelSpace,
      isPrivileged: true, options: units.options, storage: units.fenceStorage, bar1: units.bar1)
    teardown.push("copy channel") { await channel.destroy() }
    if units.device.chip.copyMethods.needsVirtualAddresses {
      let window = try await CopyWindow(units.kernelSpace, vram: try units.layout.usable())
      teardown.push("copy window") { await window.destroy() }
      channel.copyWindow = window
    }
    return channel
  }
}

extension Channel {
  /// Makes a channel and has it scheduled; on an error nothing is left.
  static func make(
    _ fifo: FIFO, _ runlist: Runlist, name: String, space: GPUAddressSpace, isPrivileged: Bool,
    options: DriverOptions, storage: FenceStorage, bar1: BAR1
  ) async throws(KernelError) -> Channel {
    let channel = try await Channel(
      fifo, runlist, name: name, space: space, isPrivileged: isPrivileged, options: options,
      storage: storage, bar1: bar1)
    fifo.register(channel)
    await channel.lock.lock()
    do throws(KernelError) {
      try await channel.start()
      try await channel.bindObject()
      channel.lock.unlock()
    } catch {
      channel.lock.unlock()
      channel.kill(error)
      await channel.destroy()
      throw error
    }
    return channel
  }
}
