import Base
import EmulatedGPU
import Falcon
import KernelRuntime
import NVHardware

extension PushBufferBoard {
  private static let falcon: UInt32 = 0x10_4000

  private static let causes0: [(field: BitField, name: String)] = [
    (NV_PPBDMA.INTR_0_MEMREQ, "MEMREQ"), (NV_PPBDMA.INTR_0_GPPTR, "GPPTR"),
    (NV_PPBDMA.INTR_0_GPENTRY, "GPENTRY"), (NV_PPBDMA.INTR_0_PBENTRY, "PBENTRY"),
    (NV_PPBDMA.INTR_0_METHOD, "METHOD"), (NV_PPBDMA.INTR_0_DEVICE, "DEVICE"),
    (NV_PPBDMA.INTR_0_SEMAPHORE, "SEMAPHORE"), (NV_PPBDMA.INTR_0_ACQUIRE, "ACQUIRE"),
    (NV_PPBDMA.INTR_0_SIGNATURE, "SIGNATURE"),
  ]
  private static let causes1: [(field: BitField, name: String)] = [
    (NV_PPBDMA.INTR_1_HCE_PRIV, "HCE_PRIV"),
    (NV_PPBDMA.INTR_1_HCE_ILLEGAL_MTHD, "HCE_ILLEGAL_MTHD"),
    (NV_PPBDMA.INTR_1_HCE_ILLEGAL_CLASS, "HCE_ILLEGAL_CLASS"),
  ]

  private var isFalcon: Bool { gpu.chipName == GF100Copy().name }

  /// The microcode refused a method and waits for the driver to acknowledge that.
  var hasRefusal: Bool {
    isFalcon
      && read(Self.falcon + FalconRegister.interrupts.rawValue) & FalconLine.software0 != 0
  }

  /// What the registers say of the last round: why it stands where it stands.
  func state(_ rests: Bool) -> FuzzOutcome {
    let intr0 = read(pbdma + NV_PPBDMA.INTR_0)
    let intr1 = read(pbdma + NV_PPBDMA.INTR_1)
    for cause in Self.causes0 where cause.field.get(intr0) == 1 { return .ended(cause.name) }
    for cause in Self.causes1 where cause.field.get(intr1) == 1 { return .ended(cause.name) }
    if intr0 | intr1 != 0 { return .broken("interrupt bits without a name: \(intr0), \(intr1)") }
    if read(NV_PFIFO.INTR_MMU_FAULT_ID) != 0 { return .ended("MMU fault") }
    if !isFalcon, runlist > 0 {
      let status = read(NV_CE.LCE_INTR_STATUS(runlist - 1))
      if NV_CE.LCE_INTR_STATUS_LAUNCHERR.get(status) == 1 { return .ended("LAUNCHERR") }
      if NV_CE.LCE_INTR_STATUS_BLOCKPIPE.get(status) == 1 { return .ended("BLOCKPIPE") }
    }
    if isFalcon, read(Self.falcon + FalconRegister.interrupts.rawValue) & FalconLine.software0 != 0
    {
      return .ended("dispatch error")
    }
    if NV_PFIFO.STATUS_FAULTED.get(read(NV_PFIFO.ENGINE_STATUS(runlist))) == 1 {
      return .ended("engine faulted")
    }
    return channelState(rests)
  }

  private func channelState(_ rests: Bool) -> FuzzOutcome {
    typealias C = NV_PCCSR
    var isWaiting = false
    let engineIsBusy =
      NV_PFIFO.STATUS_BUSY.get(read(NV_PFIFO.ENGINE_STATUS(runlist))) == 1
    for id: UInt32 in [1, 2] {
      let word = read(C.CHANNEL(id))
      guard C.CHANNEL_BUSY.get(word) == 1 else { continue }
      // An engine with microcode keeps the state of the last channel when it is at rest.
      if C.CHANNEL_STATUS.get(word) == C.CHANNEL_STATUS_ON_ENG, !engineIsBusy { continue }
      // What no time-out ends, and engines that met what nobody defines, stand still with a name.
      if C.CHANNEL_STATUS.get(word) == C.CHANNEL_STATUS_PENDING_ACQUIRE || !rests {
        isWaiting = true
      } else if isFalcon, !gpu.unimplemented.isEmpty {
        return .ended("engine event")
      } else {
        return .broken(standstill(id, word))
      }
    }
    if isWaiting { return .ended("waits") }
    if !rests { return .broken("something moves for ever, and no channel has work") }
    return .ended(gpu.unimplemented.isEmpty ? "done" : "done, something unimplemented")
  }

  private func standstill(_ id: UInt32, _ status: UInt32) -> String {
    let words = [
      ("PCCSR", status), ("INTR_0", read(NV_PFIFO.INTR_0)),
      ("ERROR_SCHED_DISABLE", read(NV_PFIFO.ERROR_SCHED_DISABLE)),
      ("PREEMPT", read(NV_PFIFO.PREEMPT)), ("ENGINE_STATUS", read(NV_PFIFO.ENGINE_STATUS(runlist))),
      ("LCE_INTR", isFalcon ? 0 : read(NV_CE.LCE_INTR_STATUS(0))),
      ("GET", read(pbdma + NV_PPBDMA.GET)), ("GP_GET", read(pbdma + NV_PPBDMA.GP_GET)),
      ("GP_PUT", read(pbdma + NV_PPBDMA.GP_PUT)), ("time", UInt32(truncatingIfNeeded: kernel.now)),
      ("FIFO", isFalcon ? read(Self.falcon + FalconRegister.fifoOccupied.rawValue) : 0),
      ("falcon", isFalcon ? read(Self.falcon + FalconRegister.control.rawValue) : 0),
    ]
    let text = words.map { "\($0.0) 0x\(String($0.1, radix: 16))" }.joined(separator: ", ")
    return "channel \(id) stands still without a reason: \(text)"
  }

  /// What an interrupt handler does about each cause; a careless one leaves a method that was
  /// refused in its place, and an engine that took a fault as it is.
  func acknowledge(replacingMethod: Bool) {
    if replacingMethod, read(NV_PFIFO.INTR_MMU_FAULT_ID) != 0 { resetEngine() }
    if replacingMethod, read(pbdma + NV_PPBDMA.INTR_0) != 0 {
      write(pbdma + NV_PPBDMA.METHOD0, NV_PPBDMA.METHOD0_NOP)
      write(pbdma + NV_PPBDMA.DATA0, 0)
    }
    write(pbdma + NV_PPBDMA.INTR_0, ~0)
    write(pbdma + NV_PPBDMA.INTR_1, ~0)
    if isFalcon {
      write(Self.falcon + FalconRegister.interruptClear.rawValue, FalconLine.software0)
    } else if runlist > 0 {
      write(NV_CE.LCE_INTR_STATUS(runlist - 1), ~0)
    }
    write(NV_PFIFO.INTR_MMU_FAULT_ID, ~0)
    write(NV_PFIFO.INTR_0, ~0)
    write(NV_PFIFO.INTR_RUNLIST, ~0)
    for id: UInt32 in [1, 2] { write(NV_PCCSR.CHANNEL(id), runlist << 16 | 0xc0_0000) }
    write(NV_PFIFO.ERROR_SCHED_DISABLE, 1 << runlist)
    write(NV_PMC.INTR_EN_SET(0), ~0)
    write(NV_PMC.INTR_EN_SET(1), ~0)
  }
}
