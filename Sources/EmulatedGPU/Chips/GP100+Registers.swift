import Base
import KernelRuntime
import NVHardware

// Where Pascal keeps what Volta and Turing moved: bindings of the BARs, TLB invalidation, fault
// reports and the fault buffer, runlist submission, USERD in BAR1, the probing of VRAM.
extension GP100 {
  public func read(_ offset: UInt32, of gpu: EmulatedGPU) -> UInt32? {
    switch offset {
    case NV_PBUS.BAR1_BLOCK: gpu.bar1.block
    case NV_PBUS.BAR2_BLOCK: gpu.bar2.block
    // Bindings take effect at once.
    case NV_PBUS.BIND_STATUS: 0
    case NV_PFB.PRI_MMU_CTRL: gpu.invalidation.control
    case NV_PFB.PRI_MMU_INVALIDATE_PDB: gpu.invalidation.pdb
    case NV_PFB.PRI_MMU_INVALIDATE_UPPER_PDB: gpu.invalidation.upperPDB
    case NV_PFB.PRI_MMU_INVALIDATE_VADDR: gpu.invalidation.address
    case NV_PFB.PRI_MMU_INVALIDATE_UPPER_VADDR: gpu.invalidation.upperAddress
    case NV_PFB.PRI_MMU_INVALIDATE: gpu.invalidation.last
    case NV_PFIFO.REPLAYABLE_FAULT_BUFFER_LO:
      UInt32(truncatingIfNeeded: gpu.faultBuffer.base) | (gpu.faultBuffer.isEnabled ? 1 : 0)
    case NV_PFIFO.REPLAYABLE_FAULT_BUFFER_HI:
      UInt32(truncatingIfNeeded: gpu.faultBuffer.base >> 32)
    case NV_PFIFO.REPLAYABLE_FAULT_BUFFER_SIZE: gpu.faultBuffer.entries
    case NV_PFIFO.REPLAYABLE_FAULT_BUFFER_GET: gpu.faultBuffer.get
    case NV_PFIFO.REPLAYABLE_FAULT_BUFFER_PUT: gpu.faultBuffer.put
    case NV_PFIFO.BAR1_BASE: gpu.host.userdBase
    case NV_PFIFO.RUNLIST_BASE: gpu.host.runlistBase
    case NV_PFIFO.INTR_MMU_FAULT_ID: gpu.reports.pending
    case NV_PFIFO.ENG_RUNLIST_BASE(0)..<NV_PFIFO.ENG_RUNLIST_BASE(16): runlist(offset, gpu)
    case NV_PFIFO.INTR_MMU_FAULT_INST(0)..<NV_PFIFO.INTR_MMU_FAULT_INST(32): fault(offset, gpu)
    case NV_PFIFO.TRIGGER_MMU_FAULT(0)..<NV_PFIFO.TRIGGER_MMU_FAULT(16): trigger(offset, gpu)
    default: memorySize(offset, gpu)
    }
  }

  public func write(_ value: UInt32, to offset: UInt32, of gpu: EmulatedGPU) -> Bool {
    switch offset {
    case NV_PBUS.BAR1_BLOCK: gpu.bar1.bind(value)
    case NV_PBUS.BAR2_BLOCK: gpu.bar2.bind(value)
    case NV_PFB.PRI_MMU_CTRL: gpu.invalidation.settings = value
    case NV_PFB.PRI_MMU_INVALIDATE_PDB: gpu.invalidation.pdb = value
    case NV_PFB.PRI_MMU_INVALIDATE_UPPER_PDB: gpu.invalidation.upperPDB = value
    case NV_PFB.PRI_MMU_INVALIDATE_VADDR: gpu.invalidation.address = value
    case NV_PFB.PRI_MMU_INVALIDATE_UPPER_VADDR: gpu.invalidation.upperAddress = value
    case NV_PFB.PRI_MMU_INVALIDATE: gpu.invalidation.trigger(value, gpu)
    case NV_PFIFO.REPLAYABLE_FAULT_BUFFER_LO:
      gpu.faultBuffer.base = gpu.faultBuffer.base & ~0xffff_ffff | UInt64(value & ~0xfff)
      gpu.faultBuffer.isEnabled = NV_PFIFO.REPLAYABLE_FAULT_BUFFER_LO_ENABLE.get(value) == 1
    case NV_PFIFO.REPLAYABLE_FAULT_BUFFER_HI:
      gpu.faultBuffer.base = gpu.faultBuffer.base & 0xffff_ffff | UInt64(value) << 32
    case NV_PFIFO.REPLAYABLE_FAULT_BUFFER_GET:
      gpu.faultBuffer.get = value % gpu.faultBuffer.entries
    case NV_PFIFO.BAR1_BASE: gpu.host.userdBase = value
    case NV_PFIFO.RUNLIST_BASE: gpu.host.runlistBase = value
    case NV_PFIFO.RUNLIST: gpu.host.submit(value)
    case NV_PFIFO.ERROR_SCHED_DISABLE: gpu.host.clearSchedulingErrors(value)
    case NV_PFIFO.INTR_MMU_FAULT_ID: gpu.reports.acknowledge(value)
    case NV_PFIFO.TRIGGER_MMU_FAULT(0)..<NV_PFIFO.TRIGGER_MMU_FAULT(16):
      gpu.host.triggerFault(value)
    default: return false
    }
    return true
  }

  private func runlist(_ offset: UInt32, _ gpu: EmulatedGPU) -> UInt32? {
    let index = (offset - NV_PFIFO.ENG_RUNLIST_BASE(0)) / 8
    return offset & 4 == 0 ? gpu.host.runlistBaseWord(index) : gpu.host.runlistWord(index)
  }

  private func fault(_ offset: UInt32, _ gpu: EmulatedGPU) -> UInt32? {
    let report = gpu.reports.report(unit: (offset - NV_PFIFO.INTR_MMU_FAULT_INST(0)) / 16)
    return switch offset & 0xf {
    case 0x0: report.instance
    case 0x4: report.low
    case 0x8: report.high
    default: report.info
    }
  }

  /// Bit 8 stays set until the fault that was asked for is handled.
  private func trigger(_ offset: UInt32, _ gpu: EmulatedGPU) -> UInt32? {
    let engine = (offset - NV_PFIFO.TRIGGER_MMU_FAULT(0)) / 4
    guard let info = engines.first(where: { $0.engine == engine }) else { return 0 }
    let isPending = gpu.reports.triggered & 1 << info.faultID != 0
    return NV_PFIFO.TRIGGER_MMU_FAULT_ID.make32(info.faultID)
      | NV_PFIFO.TRIGGER_MMU_FAULT_ENABLE.make32(isPending ? 1 : 0)
  }

  /// Frame buffer partitions, so many that all hold the same.
  private func memorySize(_ offset: UInt32, _ gpu: EmulatedGPU) -> UInt32? {
    typealias F = NV_PFB_TOPOLOGY
    let total = UInt32(gpu.board.configuration.vramBytes / F.FBPA_SIZE_UNIT)
    var units = partitionCount * 2
    while total % units != 0 { units /= 2 }
    let partitions = max(1, units / 2)
    switch offset {
    case F.NUM_FBPS: return partitions
    case F.NUM_FBPAS: return partitions * 2
    case F.NUM_LTCS: return partitions * 2
    case F.LTCS_PER_FBP: return 2
    case F.FBPAS_PER_FBP: return 2
    case F.SLICES_PER_LTC: return 4
    case F.FBP_DISABLE: return 0
    case F.LTC_DISABLE(0)..<F.LTC_DISABLE(partitionCount): return 0
    // Where one unit holds all, the other of its partition is fused off.
    case F.FBPA_DISABLE: return units == 1 ? 2 : 0
    case F.FBPA_SIZE(0)..<F.FBPA_SIZE(16) where (offset - F.FBPA_SIZE(0)) % 0x4000 == 0:
      return (offset - F.FBPA_SIZE(0)) / 0x4000 < units ? total / units : nil
    case NV_PLTCG.NUM_LTCS: return partitions * 2
    case NV_PLTCG.CBC_PARAM: return NV_PLTCG.CBC_PARAM_SLICES_PER_LTC.make32(4)
    default: return nil
    }
  }
}
