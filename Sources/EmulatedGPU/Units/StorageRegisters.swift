import NVHardware

/// Registers that only keep what was written: settings of parts that the model has no need of, such
/// as time-outs of a bus that doesn't hang.
struct StorageRegisters {
  private var values: [(offset: UInt32, value: UInt32)] = []

  /// What a register of this kind holds after reset; nil for any other register.
  private static func reset(_ offset: UInt32) -> UInt32? {
    switch offset {
    case NV_PMC.BOOT_1, NV_PMC.BOOT_2, NV_PMC.INTR_MODE(0), NV_PMC.INTR_MODE(1), NV_PMC.INTR_SW,
      NV_PMC.INTR_LTC,
      NV_PBUS.INTR_EN_1, NV_PBUS.SW_SCRATCH(0)...NV_PBUS.SW_SCRATCH(31),
      NV_PBUS.IFB_BLOCK, NV_PBUS.PRI_TIMEOUT, NV_PBUS.PRI_TIMEOUT_SAVE_0,
      NV_PBUS.PRI_TIMEOUT_SAVE_1, NV_PBUS.PRI_TIMEOUT_FECS_ERRCODE,
      NV_PTIMER.NUMERATOR, NV_PTIMER.DENOMINATOR, NV_PTIMER.TIMER_0, NV_PTIMER.GR_TICK_FREQ,
      NV_PFIFO.CONFIG, NV_PFIFO.ACQ_PRETEST, NV_PFIFO.USERD_WRITEBACK, NV_PFIFO.INTR_STALL,
      NV_PFIFO.INTR_RUNLIST_EN, NV_PFIFO.CHSW_ERROR, NV_PFIFO.LB_ERROR,
      NV_PFB.CFG0, NV_PFB.NISO_FLUSH_SYSMEM_ADDR, NV_PFB.HSHUB_REMAP, NV_PFB.PRI_MMU_DEBUG_WR,
      NV_PFB.PRI_MMU_DEBUG_RD, NV_PFB.PRI_MMU_PAGE_FAULT_CTRL, NV_PFB.PRI_MMU_BIND_IMB,
      NV_PFB.PRI_MMU_BIND, NV_PFB.PRI_MMU_PHYS_SECURE, NV_PFB.GPC_MMU_CTRL,
      NV_PFB.GPC_MMU_PHYS_SECURE, NV_PFB.GPC_MMU_DEBUG_WR, NV_PFB.GPC_MMU_DEBUG_RD,
      NV_PLTCG.CBC_CTRL1, NV_PLTCG.CBC_CTRL2_CLEAR_START, NV_PLTCG.CBC_CTRL3_CLEAR_LIMIT,
      NV_PLTCG.CBC_BASE, NV_PLTCG.CBC_NUM_ACTIVE_LTCS:
      0
    case NV_PMC.ENABLE_PB: ~0
    default: nil
    }
  }

  func read(_ offset: UInt32) -> UInt32? {
    for entry in values where entry.offset == offset { return entry.value }
    return Self.reset(offset)
  }

  mutating func write(_ value: UInt32, _ offset: UInt32) -> Bool {
    guard Self.reset(offset) != nil else { return false }
    for index in values.indices where values[index].offset == offset {
      values[index].value = value
      return true
    }
    values.append((offset, value))
    return true
  }
}
