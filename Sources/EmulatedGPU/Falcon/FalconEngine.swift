import Base
import Falcon
import KernelRuntime
import NVHardware

/// A copy engine of Fermi's kind: a falcon that runs whatever microcode the driver uploads, in
/// front of the PCOPY copy unit.
///
/// The falcon's clock follows the machine's: whenever anybody looks, the core has lived through all
/// cycles up to now, and a copy's bytes move at the time at which it ends. Where durations are zero
/// (real-time mode), the core runs until it rests. A core that spins for long without any effect
/// waits for somebody outside, as after a dispatch error. Then most of its cycles are left out, in
/// the end all until somebody touches it, so that a time-out of seconds doesn't mean billions of
/// instructions.
final class FalconEngine {
  let board: Board
  let info: ChipEngine
  let instance: UInt32
  let core: FalconCore
  let unit: PCOPYEngineIO
  let memory: FalconEngineMemory
  let reports: FaultReports
  let interrupts: HostInterrupts
  /// The channel whose state the falcon holds.
  var resident: Channel?
  /// The channel that it was asked to switch to; nil to hold none.
  var wanted: Channel?
  /// An armed failure stopped it: no cycle passes any more.
  var isHung = false
  var isFaulted = false
  /// When the last EXEC came, for the trace.
  var startedAt: UInt64 = 0
  var isHeld = false
  var onProgress: () -> Void = {}
  /// Nanoseconds of a cycle; 0 lets the core run until it rests.
  private let cycleTime: UInt64
  /// The time up to which the core has lived, and the cycle that belongs to it.
  private var livedUntil: UInt64 = 0
  private var targetCycle: UInt64 = 0
  /// Methods retired since the last look, which tells a core at work from one that waits for a
  /// copy.
  private var retiredSinceLook = 0
  /// Cycles since anything came of them or came from outside.
  private var quietCycles: UInt64 = 0
  /// Looks in a row at a core that is quiet.
  private var quietLooks: UInt64 = 0
  private var timer: TimerHandle?
  private var madeAgent: Agent?
  var agent: Agent {
    if let madeAgent { return madeAgent }
    let name = board.configuration.named("ce\(instance)")
    let made = board.kernel.agent(name, group: .engines) { [unowned self] in step() }
    madeAgent = made
    return made
  }

  /// Cycles after which the host hears of methods that were taken, while the core is at work.
  private static let quantum: UInt64 = 2_000
  /// Cycles without effect after which a core is taken to wait for somebody outside.
  private static let quietLimit: UInt64 = 500_000
  /// Looks at such a core before it is left alone; each pause is twice as long as the last.
  private static let mostQuietLooks: UInt64 = 14

  init(
    _ board: Board, _ mmu: MMU, _ reports: FaultReports, _ interrupts: HostInterrupts,
    _ info: ChipEngine, instance: UInt32
  ) {
    self.board = board
    self.reports = reports
    self.interrupts = interrupts
    self.info = info
    self.instance = instance
    cycleTime = board.cost.falconCycle
    unit = PCOPYEngineIO()
    memory = FalconEngineMemory(board, mmu)
    core = FalconCore(memory: memory, devices: [unit])
    core.host = self
    unit.observer = self
  }

  // MARK: time

  private func step() {
    guard !board.isLost else { return }
    board.touch()
    timer = nil
    catchUp()
    onProgress()
  }

  /// Lets the core live up to now, and arranges for the next look.
  func catchUp() {
    guard !isHung, !isFaulted, !board.isLost else { return }
    retiredSinceLook = 0
    let before = core.cycle
    let state = cycleTime == 0 ? runUntilRest() : runUntilNow()
    if state == .budgetSpent, unit.deadline == nil, retiredSinceLook == 0 {
      quietCycles &+= core.cycle - before
    } else {
      noteEffect()
    }
    takeEvents()
    timer?.cancel()
    timer = nil
    guard state == .budgetSpent, !isFaulted, quietLooks < Self.mostQuietLooks else { return }
    timer = agent.kick(after: nextLook)
  }

  private var isQuiet: Bool { quietCycles >= Self.quietLimit }

  private func noteEffect() {
    quietCycles = 0
    quietLooks = 0
  }

  private func runUntilNow() -> FalconRunState {
    let now = board.kernel.now
    if isQuiet {
      livedUntil = now
      let state = core.run(cycles: Self.quantum)
      targetCycle = core.cycle
      return state
    }
    let cycles = (now &- livedUntil) / cycleTime
    livedUntil &+= cycles * cycleTime
    targetCycle &+= cycles
    let state = core.run(cycles: targetCycle > core.cycle ? targetCycle - core.cycle : 0)
    if state != .budgetSpent {
      livedUntil = now
      targetCycle = core.cycle
    }
    return state
  }

  /// Time does not count: each copy ends when the core waits for it. A core that waits for somebody
  /// outside, such as for the driver after a dispatch error, gets another turn later.
  private func runUntilRest() -> FalconRunState {
    for _ in 0..<(isQuiet ? 1 : 64) {
      let due = unit.deadline.map { $0 > core.cycle ? $0 - core.cycle : 0 }
      let state = core.run(cycles: max(Self.quantum, due ?? 0))
      if state != .budgetSpent { return state }
    }
    return .budgetSpent
  }

  /// Nanoseconds until something is worth a look: the end of a copy when the core only waits for
  /// it, else a while.
  private var nextLook: UInt64 {
    if isQuiet {
      quietLooks += 1
      return (Self.quantum * max(1, cycleTime)) << quietLooks
    }
    guard cycleTime > 0 else { return 1_000 }
    let isWaiting = core.isSleeping || retiredSinceLook == 0
    if isWaiting, let due = unit.deadline, due > core.cycle {
      return (due - core.cycle) * cycleTime
    }
    return Self.quantum * cycleTime
  }

  /// Somebody outside gave the core something to do; until now it has lived without it.
  func disturbed() {
    guard !isHung else { return }
    noteEffect()
    agent.kick()
  }

  // MARK: what the core met

  private func takeEvents() {
    for event in core.takeEvents() {
      if case .memoryFault(let fault) = event {
        report(fault)
      } else {
        board.reportUnimplemented(.microcode, UInt64(core.programCounter), 0, "\(event)")
      }
    }
  }

  private func report(_ fault: FalconMemoryFault) {
    isFaulted = true
    let cause = memory.takeCause() ?? .REGION_VIOLATION
    channel?.isFaulted = true
    interrupts.stoppedRunlists |= 1 << info.runlist
    reports.report(
      unit: info.faultID,
      instance: channel?.instance ?? Place(aperture: .vram, address: 0),
      address: fault.address, type: cause, access: fault.isWrite ? .WRITE : .READ,
      client: info.faultClient)
  }

  // MARK: registers

  /// A register in the engine's window, by its offset from the window's begin.
  func read(_ offset: UInt32) -> UInt32 {
    catchUp()
    let value = core.hostRead(offset)
    takeEvents()
    return value
  }

  func write(_ value: UInt32, _ offset: UInt32) {
    catchUp()
    core.hostWrite(value, to: offset)
    takeEvents()
    disturbed()
  }

  // MARK: reset

  /// What PMC's bit does: registers return to their reset values and the processor stops; the
  /// memories keep their bytes, but no page of code is mapped.
  func reset() {
    core.reset()
    _ = core.takeEvents()
    memory.disarm()
    resident = nil
    wanted = nil
    isHung = false
    isFaulted = false
    timer?.cancel()
    timer = nil
    livedUntil = board.kernel.now
    targetCycle = core.cycle
    noteEffect()
    onProgress()
  }

  func retire() {
    timer?.cancel()
    madeAgent?.retire()
  }
}

extension FalconEngine: FalconHost {
  var time: UInt64 { board.timestamp }

  func falconInterruptChanged(host: Bool, nonStalling: Bool) {
    board.interrupts.set(tree: 0, bit: info.interrupt, host)
    board.interrupts.set(tree: 1, bit: info.interrupt, nonStalling)
  }

  func falconMethodRetired(_ method: FalconMethod) {
    retiredSinceLook += 1
    onProgress()
  }

  func falconChannelSwitched(to channel: UInt32?) {
    resident = channel == nil ? nil : wanted
    onProgress()
  }
}

extension FalconEngine: PCOPYObserver {
  func pcopyDidCopy(_ copy: PCOPYCopy) {
    board.kernel.trace.span(
      .copy, since: startedAt, UInt64(resident?.id ?? 0), UInt64(copy.lines * copy.lineBytes),
      copy.sourceAddress, copy.destinationAddress, on: agent.row)
  }
}
