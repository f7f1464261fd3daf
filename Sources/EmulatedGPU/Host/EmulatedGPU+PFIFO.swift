import Base
import KernelRuntime
import NVHardware

// PFIFO's registers that Pascal shares with its neighbours.
extension EmulatedGPU {
  func readPFIFO(_ offset: UInt32) -> UInt32? {
    switch offset {
    case NV_PFIFO.CFG0:
      NV_PFIFO.CFG0_NUM_PBDMA.make32(UInt32(host.pbdmas.count))
        | NV_PFIFO.CFG0_PBDMA_FAULT_ID.make32(NV_PFAULT.MMU_ENG_ID_HOST0)
    case NV_PFIFO.CFG1: board.channelCount
    case NV_PFIFO.CFG2: board.hostClass
    case NV_PFIFO.INTR_0: hostInterrupts.status
    case NV_PFIFO.INTR_EN_0: hostInterrupts.enable
    case NV_PFIFO.INTR_EN_1: hostInterrupts.enableNonStall
    case NV_PFIFO.BIND_ERROR: hostInterrupts.bindError
    case NV_PFIFO.SCHED_ERROR: hostInterrupts.schedError
    case NV_PFIFO.INTR_PBDMA_ID: hostInterrupts.pbdmas
    case NV_PFIFO.INTR_RUNLIST: hostInterrupts.runlists
    case NV_PFIFO.ERROR_SCHED_DISABLE: hostInterrupts.stoppedRunlists
    case NV_PFIFO.SCHED_DISABLE: host.schedDisable
    case NV_PFIFO.PREEMPT: host.preemptStatus
    case NV_PFIFO.ENG_TIMEOUT: host.engineTimeout
    default: readPFIFOArrays(offset)
    }
  }

  /// An index into an array of registers; nil outside it.
  private func index(_ offset: UInt32, from first: UInt32, stride: UInt32, count: Int) -> Int? {
    guard offset >= first, (offset - first) % stride == 0 else { return nil }
    let index = Int((offset - first) / stride)
    return index < count ? index : nil
  }

  private func readPFIFOArrays(_ offset: UInt32) -> UInt32? {
    let count = host.pbdmas.count
    if let pbdma = index(offset, from: NV_PFIFO.PBDMA_MAP(0), stride: 4, count: count) {
      return 1 << host.pbdmas[pbdma].runlistID
    }
    if let engine = index(offset, from: NV_PFIFO.ENGINE_STATUS(0), stride: 8, count: count) {
      guard let pbdma = host.pbdmas.first(where: { $0.info.engine == UInt32(engine) }) else {
        return 0
      }
      return host.unitStatus(pbdma, ofEngine: true)
    }
    if let pbdma = index(offset, from: NV_PFIFO.PBDMA_STATUS(0), stride: 4, count: count) {
      return host.unitStatus(host.pbdmas[pbdma], ofEngine: false)
    }
    return nil
  }

  func writePFIFO(_ value: UInt32, _ offset: UInt32) -> Bool {
    switch offset {
    case NV_PFIFO.INTR_0: hostInterrupts.acknowledge(value)
    case NV_PFIFO.INTR_EN_0: hostInterrupts.enable = value
    case NV_PFIFO.INTR_EN_1: hostInterrupts.enableNonStall = value
    // A level: it falls when the PBDMA's own interrupt is acknowledged.
    case NV_PFIFO.INTR_PBDMA_ID: break
    case NV_PFIFO.INTR_RUNLIST: hostInterrupts.acknowledgeRunlists(value)
    case NV_PFIFO.SCHED_DISABLE: host.disableScheduling(value)
    case NV_PFIFO.PREEMPT: host.preempt(value)
    case NV_PFIFO.ENG_TIMEOUT: host.engineTimeout = value
    default: return false
    }
    return true
  }
}
