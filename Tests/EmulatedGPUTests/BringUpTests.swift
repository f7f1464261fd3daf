import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import NVHardware
import Testing

@Suite struct BringUpTests {
  @Test func configurationSpace_tellsWhatTheBoardIs() throws {
    let gpu = try Rig().gpu
    #expect(gpu.readConfiguration(at: 0) == 0x15f8_10de)
    #expect(gpu.readConfiguration(at: 8) == 0x0302_00a1)
    #expect(gpu.readConfiguration(at: 0x34) == 0x60)
    // The capability list: power management, MSI, PCI Express.
    #expect(gpu.readConfiguration(at: 0x60) & 0xffff == 0x6801)
    #expect(gpu.readConfiguration(at: 0x68) & 0xffff == 0x7805)
    #expect(gpu.readConfiguration(at: 0x78) & 0xffff == 0x0010)
    #expect(gpu.unimplemented.isEmpty)
  }

  @Test func bars_areSizedByWritingOnes() throws {
    let gpu = try Rig().gpu
    gpu.writeConfiguration(~0, at: 0x10)
    #expect(gpu.readConfiguration(at: 0x10) == 0xff00_0000)
    gpu.writeConfiguration(~0, at: 0x14)
    gpu.writeConfiguration(~0, at: 0x18)
    #expect(gpu.readConfiguration(at: 0x14) == 0xfc00_000c)
    #expect(gpu.readConfiguration(at: 0x18) == 0xffff_ffff)
    gpu.writeConfiguration(~0, at: 0)
    #expect(gpu.readConfiguration(at: 0) == 0x15f8_10de, "the id is read only")
  }

  @Test func subsystem_followsItsAlias() throws {
    let gpu = try Rig().gpu
    gpu.writeConfiguration(0x1234_10de, at: 0x40)
    #expect(gpu.readConfiguration(at: 0x2c) == 0x1234_10de)
    gpu.writeConfiguration(0, at: 0x2c)
    #expect(gpu.readConfiguration(at: 0x2c) == 0x1234_10de)
  }

  @Test func mirror_isConfigurationSpace() throws {
    let rig = try Rig()
    #expect(rig.read(NV_XVE.mirror) == 0x15f8_10de)
    rig.write(NV_XVE.mirror + NV_XVE.ROM_CTRL, 0)
    #expect(rig.gpu.readConfiguration(at: Int(NV_XVE.ROM_CTRL)) == 0)
  }

  @Test func identity_isGP100A1() throws {
    let rig = try Rig()
    #expect(rig.read(NV_PMC.BOOT_0) == 0x1300_00a1)
    #expect(rig.read(NV_PMC.BOOT_1) == 0)
    #expect(rig.read(NV_PMC.BOOT_42) == 0x1300_0000)
    #expect(NV_FUSE.DEVINIT_STATUS_POSTED.get(rig.read(NV_FUSE.DEVINIT_STATUS)) == 1)
    #expect(rig.read(NV_PFIFO.CFG2) == 0xc06f)
  }

  @Test func topology_listsGraphicsAndSixCopyEngines() throws {
    let rig = try Rig()
    var types: [UInt32] = []
    var entries = 0
    for index in 0..<NV_PTOP.DEVICE_INFO_count {
      let word = rig.read(NV_PTOP.DEVICE_INFO(index))
      if word & 3 == NV_PTOP.DEVICE_INFO_ENTRY_ENGINE_TYPE {
        types.append(NV_PTOP.DEVICE_INFO_TYPE_ENUM.get(word))
        #expect(word >> 31 == 0, "the type ends the chain")
      }
      if word != 0 { entries += 1 }
    }
    #expect(types == [0] + Array(repeating: NV_PTOP.DEVICE_INFO_TYPE_ENUM_LCE, count: 6))
    #expect(entries == 21)
  }

  /// As nouveau adds it up (gp100_ram, gm200_ram).
  private func probedBytes(_ rig: Rig) -> UInt64 {
    typealias F = NV_PFB_TOPOLOGY
    var total: UInt64 = 0
    let perPartition = rig.read(F.FBPAS_PER_FBP)
    for partition in 0..<rig.read(F.NUM_FBPS) where rig.read(F.FBP_DISABLE) >> partition & 1 == 0 {
      for unit in (partition * perPartition)..<((partition + 1) * perPartition)
      where rig.read(F.FBPA_DISABLE) >> unit & 1 == 0 {
        total += UInt64(rig.read(F.FBPA_SIZE(unit))) << 20
      }
    }
    return total
  }

  @Test(arguments: [1, 2, 3, 6, 64, 16_384, 65_536] as [UInt64])
  func vramSize_isWhatThePartitionsAddUpTo(mib: UInt64) throws {
    let kernel = Kernel()
    let dma = try DMAAddressSpace(kernel, ram: try MappedMemory(count: 4096))
    let rig = try Rig(vram: max(64, mib) << 20)
    #expect(probedBytes(rig) == max(64, mib) << 20)
    #expect(rig.gpu.unimplemented.isEmpty)
    let small = try EmulatedGPU(
      kernel, configuration: GPUConfiguration(vramBytes: mib << 20), dma: dma)
    #expect(small.vram.count == Int(mib << 20))
  }

  @Test func impossibleSizes_areRefused() throws {
    let kernel = Kernel()
    let dma = try DMAAddressSpace(kernel, ram: try MappedMemory(count: 4096))
    #expect(throws: KernelError.EINVAL) {
      _ = try EmulatedGPU(kernel, configuration: GPUConfiguration(vramBytes: 4097), dma: dma)
    }
    #expect(throws: KernelError.EINVAL) {
      _ = try EmulatedGPU(kernel, configuration: GPUConfiguration(bar1Bytes: 3 << 26), dma: dma)
    }
  }

  @Test func pramin_showsTheSelectedMebibyte() throws {
    let rig = try Rig()
    rig.write(NV_PBUS.BAR0_WINDOW, 0x0123_0000 >> 16)
    rig.write(NV_PRAMIN.base + 0x10, 0xcafe_f00d)
    #expect(rig.word(0x0123_0010) == 0xcafe_f00d)
    #expect(rig.read(NV_PRAMIN.base + 0x10) == 0xcafe_f00d)
    #expect(rig.read(NV_PBUS.BAR0_WINDOW) == 0x123)
    rig.gpu.registers.fill32(0, at: NV_PRAMIN.base, count: 8)
    #expect(rig.word(0x0123_0010) == 0)
  }

  @Test func pramin_reachesHostMemoryOnlyThroughTheBus() throws {
    let rig = try Rig()
    rig.write(NV_PBUS.BAR0_WINDOW, NV_PBUS.BAR0_WINDOW_TARGET.make32(2))
    #expect(rig.read(NV_PRAMIN.base + 0x3000) == ~0)
    rig.write(NV_PRAMIN.base + 0x3000, 77)
    #expect(rig.ram.load(UInt32.self, at: 0x3000) == 0)
    #expect(
      rig.gpu.busFaults == [
        .refused(DMAAddress(0x3000), isWrite: false), .refused(DMAAddress(0x3000), isWrite: true),
      ])
    // Unsupported Request, as AER records it.
    #expect(rig.gpu.readConfiguration(at: Int(NV_XVE.AER_UNCORR_STATUS)) == 1 << 20)
  }

  @Test func timer_countsIn32Nanoseconds() throws {
    let rig = try Rig()
    rig.write(NV_PTIMER.TIME_1, 5)
    rig.write(NV_PTIMER.TIME_0, 0x1000)
    #expect(rig.read(NV_PTIMER.TIME_1) == 5)
    #expect(rig.read(NV_PTIMER.TIME_0) == 0x1000)
    rig.kernel.after(100, "wait") {}
    try rig.settle()
    #expect(rig.read(NV_PTIMER.TIME_0) == 0x1000 + 96)
  }

  @Test func timerAlarm_interrupts() throws {
    let rig = try Rig()
    rig.write(NV_PTIMER.ALARM_0, 64_000)
    rig.write(NV_PTIMER.INTR_EN_0, 1)
    try rig.settle()
    #expect(rig.interrupts.map(\.0) == [1 << 20])
    rig.write(NV_PTIMER.INTR_0, 1)
    #expect(rig.read(NV_PMC.INTR(0)) == 0)
  }

  @Test func unknownRegister_isAnEventAndNoGuess() throws {
    let rig = try Rig()
    #expect(rig.read(0x40_0100) == NV_PBUS.PRI_ERROR)
    rig.write(0x40_0100, 5)
    #expect(rig.gpu.unimplemented.map(\.kind) == [.registerRead, .registerWrite])
    #expect(rig.gpu.unimplemented.map(\.address) == [0x40_0100, 0x40_0100])
    #expect(rig.gpu.audit().count == 2)
  }

  @Test func lostDevice_readsAllOnes() throws {
    let rig = try Rig()
    rig.gpu.loseDevice()
    #expect(rig.read(NV_PMC.BOOT_0) == ~0)
    #expect(rig.gpu.readConfiguration(at: 0) == ~0)
    #expect(rig.gpu.aperture?.read32(at: 0) == ~0)
    rig.write(NV_PRAMIN.base, 1)
    #expect(rig.word(0) == 0)
  }

  @Test func message_waitsForRearming() throws {
    let rig = try Rig()
    let line = rig.gpu.interrupt
    rig.write(NV_PTIMER.INTR_EN_0, 1)
    try rig.settle()
    #expect(line.raised == 1)
    // The handler rearmed but left all masked: the pending alarm comes once it is let through.
    rig.unmask()
    try rig.settle()
    #expect(line.raised == 2)
    rig.write(NV_PTIMER.INTR_0, 1)
  }

  @Test func message_needsBusMastering() throws {
    let rig = try Rig()
    rig.gpu.writeConfiguration(0x2, at: 4)
    rig.write(NV_PTIMER.INTR_EN_0, 1)
    try rig.settle()
    #expect(rig.interrupts.isEmpty)
  }

  @Test func bar1_translatesOnceItIsBound() throws {
    let rig = try Rig()
    let instance: UInt64 = 0x1f_0000
    rig.tables.bind(instance: instance)
    rig.tables.map(0x300_0000, NV_MMU_VER2.pte(aperture: 0, address: 0x1234_000 & ~0xfff))
    rig.write(NV_PBUS.BAR1_BLOCK, 1 << 31 | UInt32(instance >> 12))
    let aperture = try #require(rig.gpu.aperture)
    aperture.write32(0xabcd, at: 0x300_0010)
    #expect(rig.word(0x1234_010) == 0xabcd)
    #expect(aperture.read32(at: 0x300_0010) == 0xabcd)
    #expect(rig.read(NV_PBUS.BIND_STATUS) == 0)
    // Beyond it nothing is mapped: a fault of unit BAR1.
    #expect(aperture.read32(at: 0x300_1000) == ~0)
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_ID) == 1 << NV_PFAULT.MMU_ENG_ID_BAR1)
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_LO(NV_PFAULT.MMU_ENG_ID_BAR1)) == 0x300_1000)
    rig.write(NV_PFIFO.INTR_MMU_FAULT_ID, ~0)
    #expect(rig.read(NV_PFIFO.INTR_0) & 1 << 28 == 0)
  }
}
