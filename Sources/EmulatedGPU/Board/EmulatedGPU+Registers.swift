import Base
import KernelRuntime
import NVHardware

// The registers that every chip of the family has at the same place. Others are the chip's.
extension EmulatedGPU {
  /// Nil for a register that isn't implemented.
  func readRegister(_ offset: UInt32) -> UInt32? {
    switch offset {
    case 0x0000..<0x1000: if let value = readPMC(offset) { return value }
    case 0x1000..<0x2000: if let value = readPBUS(offset) { return value }
    case 0x2000..<0x4000: if let value = readPFIFO(offset) { return value }
    case 0x9000..<0xa000: if let value = timer.read(offset) { return value }
    case 0x02_2700..<0x02_2800: return topologyWord(Int(offset - NV_PTOP.DEVICE_INFO(0)) / 4)
    case 0x04_0000..<0x06_0000:
      let index = Int((offset - NV_PPBDMA.base(0)) / NV_PPBDMA.stride)
      guard index < host.pbdmas.count else { return nil }
      return host.pbdmas[index].read(offset % NV_PPBDMA.stride)
    case NV_XVE.mirror..<(NV_XVE.mirror + NV_XVE.mirrorByteCount):
      return board.pci.read(offset - NV_XVE.mirror)
    case 0x10_4000..<0x10_5000 where !engines.isEmpty: return readCE(offset)
    case NV_PCCSR.base..<(NV_PCCSR.base + 8 * board.channelCount):
      let id = (offset - NV_PCCSR.base) / 8
      return offset & 4 == 0 ? host.existing(id)?.instanceWord ?? 0 : host.status(id)
    case NV_STRAP.BOOT: return NV_STRAP.BOOT_CRYSTAL_27000
    case NV_FUSE.STATUS_OPT_CE: return 0
    case NV_FUSE.STATUS_OPT_DISPLAY: return 1
    case NV_FUSE.DEVINIT_STATUS: return NV_FUSE.DEVINIT_STATUS_POSTED.make32(1)
    // Flushes are done at once, so none is ever pending.
    case NV_UFLUSH.FB_FLUSH: return 0
    default: break
    }
    return board.chip.read(offset, of: self) ?? storage.read(offset)
  }

  /// False for a register that isn't implemented.
  func writeRegister(_ value: UInt32, _ offset: UInt32) -> Bool {
    switch offset {
    case 0x0000..<0x1000: if writePMC(value, offset) { return true }
    case 0x1000..<0x2000: if writePBUS(value, offset) { return true }
    case 0x2000..<0x4000: if writePFIFO(value, offset) { return true }
    case 0x9000..<0xa000: if timer.write(value, offset) { return true }
    case 0x04_0000..<0x06_0000:
      let index = Int((offset - NV_PPBDMA.base(0)) / NV_PPBDMA.stride)
      guard index < host.pbdmas.count else { return false }
      return host.pbdmas[index].write(value, offset % NV_PPBDMA.stride)
    case NV_XVE.mirror..<(NV_XVE.mirror + NV_XVE.mirrorByteCount):
      guard board.pci.write(value, offset - NV_XVE.mirror) else { return false }
      if offset - NV_XVE.mirror == NV_XVE.CYA_2 { board.interrupts.rearm() }
      return true
    case 0x10_4000..<0x10_5000 where !engines.isEmpty: return writeCE(value, offset)
    case NV_PCCSR.base..<(NV_PCCSR.base + 8 * board.channelCount):
      let id = (offset - NV_PCCSR.base) / 8
      if offset & 4 == 0 { host.bind(id, value) } else { host.control(id, value) }
      return true
    case NV_UFLUSH.FB_FLUSH: return true
    default: break
    }
    return board.chip.write(value, to: offset, of: self) || storage.write(value, offset)
  }

  // MARK: PMC

  private func readPMC(_ offset: UInt32) -> UInt32? {
    switch offset {
    case NV_PMC.BOOT_0: board.chip.boot0
    case NV_PMC.BOOT_42: NV_PMC.BOOT_42_CHIP_ID.make32(NV_PMC.BOOT_0_CHIP_ID.get(board.chip.boot0))
    case NV_PMC.INTR(0): board.interrupts.pending.0
    case NV_PMC.INTR(1): board.interrupts.pending.1
    case NV_PMC.INTR_EN(0): board.interrupts.enabled.0
    case NV_PMC.INTR_EN(1): board.interrupts.enabled.1
    // Reading a set or clear register gives the enables (SOURCE: none; a driver has no need to).
    case NV_PMC.INTR_EN_SET(0), NV_PMC.INTR_EN_CLEAR(0): board.interrupts.enabled.0
    case NV_PMC.INTR_EN_SET(1), NV_PMC.INTR_EN_CLEAR(1): board.interrupts.enabled.1
    case NV_PMC.ENABLE: unitEnable
    default: nil
    }
  }

  private func writePMC(_ value: UInt32, _ offset: UInt32) -> Bool {
    switch offset {
    case NV_PMC.INTR_EN_SET(0): board.interrupts.enable(tree: 0, value)
    case NV_PMC.INTR_EN_SET(1): board.interrupts.enable(tree: 1, value)
    case NV_PMC.INTR_EN_CLEAR(0): board.interrupts.disable(tree: 0, value)
    case NV_PMC.INTR_EN_CLEAR(1): board.interrupts.disable(tree: 1, value)
    case NV_PMC.ENABLE:
      let reset = unitEnable & ~value
      unitEnable = value
      resetUnits(reset)
    default: return false
    }
    return true
  }

  /// Units whose bit went from 1 to 0.
  private func resetUnits(_ mask: UInt32) {
    guard mask != 0 else { return }
    for engine in hostEngines where mask & 1 << engine.info.reset != 0 { engine.reset() }
    if NV_PMC.ENABLE_PFIFO.get(mask) == 1 { host.reset() }
    if NV_PMC.ENABLE_PGRAPH.get(mask) == 1 { parking.reset() }
  }

  // MARK: PBUS

  private func readPBUS(_ offset: UInt32) -> UInt32? {
    switch offset {
    case NV_PBUS.INTR_0: busInterrupt.status
    case NV_PBUS.INTR_EN_0: busInterrupt.enable
    default: nil
    }
  }

  private func writePBUS(_ value: UInt32, _ offset: UInt32) -> Bool {
    switch offset {
    case NV_PBUS.INTR_0: busInterrupt.status &= ~value
    case NV_PBUS.INTR_EN_0: busInterrupt.enable = value
    default: return false
    }
    board.interrupts.set(
      tree: 0, bit: UInt32(NV_PMC.INTR_PBUS.low), busInterrupt.status & busInterrupt.enable != 0)
    return true
  }

  // MARK: PTOP

  private func topologyWord(_ index: Int) -> UInt32 {
    index < topology.count ? topology[index] : NV_PTOP.DEVICE_INFO_ENTRY_NOT_VALID
  }

  // MARK: copy engines

  private func copyEngine(_ offset: UInt32) -> (engine: CopyEngine, register: UInt32)? {
    guard offset >= NV_CE.LCE_base else { return nil }
    let index = Int((offset - NV_CE.LCE_base) / NV_CE.LCE_stride)
    guard index < engines.count else { return nil }
    return (engines[index], (offset - NV_CE.LCE_base) % NV_CE.LCE_stride)
  }

  private func readCE(_ offset: UInt32) -> UInt32? {
    if offset == NV_CE.PCE_MAP { return 1 << UInt32(engines.count) - 1 }
    guard let (engine, register) = copyEngine(offset) else { return nil }
    switch register {
    case NV_CE.LCE_INTR_EN(0) - NV_CE.LCE_base: return engine.intrEnable
    case NV_CE.LCE_INTR_STATUS(0) - NV_CE.LCE_base: return engine.intrStatus
    case NV_CE.LCE_LAUNCHERR(0) - NV_CE.LCE_base:
      return NV_CE.LCE_LAUNCHERR_REPORT.make32(engine.launchError)
    default: return nil
    }
  }

  private func writeCE(_ value: UInt32, _ offset: UInt32) -> Bool {
    guard let (engine, register) = copyEngine(offset) else { return false }
    switch register {
    case NV_CE.LCE_INTR_EN(0) - NV_CE.LCE_base: engine.intrEnable = value
    case NV_CE.LCE_INTR_STATUS(0) - NV_CE.LCE_base: engine.acknowledge(value)
    default: return false
    }
    return true
  }
}
