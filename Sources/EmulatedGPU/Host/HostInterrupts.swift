import Base
import KernelRuntime
import NVHardware

/// PFIFO's interrupt registers.
final class HostInterrupts {
  private let board: Board
  /// Latched bits, and levels of the summaries.
  private(set) var status: UInt32 = 0
  var enable: UInt32 = 0 { didSet { update() } }
  /// Routes to the tree that doesn't stall.
  var enableNonStall: UInt32 = 0 { didSet { update() } }
  var bindError: UInt32 = 0
  var schedError: UInt32 = 0
  /// PBDMAs with a pending interrupt.
  private(set) var pbdmas: UInt32 = 0
  /// Runlists whose submission is done.
  private(set) var runlists: UInt32 = 0
  /// Runlists that stand still after a fault (ERROR_SCHED_DISABLE).
  var stoppedRunlists: UInt32 = 0

  private static let summaries =
    UInt32(1) << 28 | UInt32(1) << 29 | UInt32(1) << 30

  init(_ board: Board) { self.board = board }

  func raise(_ field: BitField) {
    status |= UInt32(truncatingIfNeeded: field.mask)
    update()
  }

  func level(_ field: BitField, _ on: Bool) {
    let mask = UInt32(truncatingIfNeeded: field.mask)
    status = on ? status | mask : status & ~mask
    update()
  }

  func acknowledge(_ bits: UInt32) {
    status &= ~(bits & ~Self.summaries)
    update()
  }

  func pbdma(_ index: UInt32, _ pending: Bool) {
    pbdmas = pending ? pbdmas | 1 << index : pbdmas & ~(1 << index)
    level(NV_PFIFO.INTR_0_PBDMA_INTR, pbdmas != 0)
  }

  func runlistDone(_ index: UInt32) {
    runlists |= 1 << index
    level(NV_PFIFO.INTR_0_RUNLIST_EVENT, true)
  }

  func acknowledgeRunlists(_ bits: UInt32) {
    guard runlists & bits != 0 else { return }
    runlists &= ~bits
    level(NV_PFIFO.INTR_0_RUNLIST_EVENT, runlists != 0)
  }

  func raiseBindError(_ code: UInt32) {
    bindError = code
    raise(NV_PFIFO.INTR_0_BIND_ERROR)
  }

  func raiseSchedError(_ code: UInt32) {
    schedError = code
    raise(NV_PFIFO.INTR_0_SCHED_ERROR)
  }

  func reset() {
    status = 0
    pbdmas = 0
    runlists = 0
    stoppedRunlists = 0
    enable = 0
  }

  private func update() {
    let bit = UInt32(NV_PMC.INTR_PFIFO.low)
    board.interrupts.set(tree: 0, bit: bit, status & enable != 0)
    board.interrupts.set(tree: 1, bit: bit, status & enableNonStall & 1 << 31 != 0)
  }
}

/// Faults that are not replayed, by fault id (PFIFO's 0x259c and 0x2800).
final class FaultReports {
  struct Report {
    var instance: UInt32 = 0
    var low: UInt32 = 0
    var high: UInt32 = 0
    var info: UInt32 = 0
  }

  private let board: Board
  private let interrupts: HostInterrupts
  private(set) var pending: UInt32 = 0
  private var reports: [Report] = []
  /// TRIGGER_MMU_FAULT requests whose fault is not yet handled, by fault id.
  var triggered: UInt32 = 0

  init(_ board: Board, _ interrupts: HostInterrupts) {
    self.board = board
    self.interrupts = interrupts
  }

  func report(unit: UInt32) -> Report {
    unit < UInt32(reports.count) ? reports[Int(unit)] : Report()
  }

  func report(
    unit: UInt32, instance: Place, address: UInt64, type: NV_PFAULT.FaultType,
    access: NV_PFAULT.AccessType, client: UInt32, gpc: UInt32? = nil
  ) {
    board.kernel.trace.record(
      .mmuFault, UInt64(unit), address, UInt64(type.rawValue), UInt64(access.rawValue))
    guard pending & 1 << unit == 0 else {
      interrupts.raise(NV_PFIFO.INTR_0_DROPPED_MMU_FAULT)
      return
    }
    if reports.isEmpty { reports = [Report](repeating: Report(), count: 32) }
    typealias P = NV_PFIFO
    reports[Int(unit)] = Report(
      instance: UInt32(truncatingIfNeeded: instance.address >> 12),
      low: UInt32(truncatingIfNeeded: address), high: UInt32(truncatingIfNeeded: address >> 32),
      info: P.INTR_MMU_FAULT_INFO_TYPE.make32(type.rawValue)
        | P.INTR_MMU_FAULT_INFO_ACCESS.make32(access.rawValue)
        | P.INTR_MMU_FAULT_INFO_CLIENT.make32(client)
        | P.INTR_MMU_FAULT_INFO_CLIENT_TYPE_HUB.make32(gpc == nil ? 1 : 0)
        | P.INTR_MMU_FAULT_INFO_GPC_ID.make32(gpc ?? 0))
    pending |= 1 << unit
    interrupts.level(NV_PFIFO.INTR_0_MMU_FAULT, true)
  }

  func acknowledge(_ bits: UInt32) {
    pending &= ~bits
    triggered &= ~bits
    interrupts.level(NV_PFIFO.INTR_0_MMU_FAULT, pending != 0)
  }
}
