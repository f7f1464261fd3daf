import Base
import KernelRuntime
import NVHardware

/// A push buffer DMA unit: takes channels from its runlist, fetches their GPFIFO entries, decodes
/// methods, executes the host's own and hands the others to its engine.
final class PBDMA {
  let board: Board
  let mmu: MMU
  let reports: FaultReports
  let interrupts: HostInterrupts
  let index: UInt32
  let runlistID: UInt32
  let info: ChipEngine
  /// The engine of the runlist; nil for graphics, which executes nothing here.
  let engine: (any HostEngine)?
  /// The host itself keeps the state of the engine's class. Microcode sees each method instead.
  let hasFixedFunctions: Bool

  /// Channels of the runlist in order, groups flattened.
  private(set) var runlist: [RunlistItem] = []
  private var cursor = 0
  private(set) var current: Channel?
  var currentGroup: UInt32?
  private var sliceStart: UInt64 = 0
  private var sliceLength: UInt64 = 0
  private var submission: Submission?
  private(set) var preempt: Preempt?
  /// SCHED_DISABLE holds the runlist.
  var isSchedulingDisabled = false {
    didSet { if !isSchedulingDisabled { agent.kick() } }
  }
  var isWaitingForEngine = false

  // Registers.
  var intr0: UInt32 = 0
  var intr1: UInt32 = 0
  var intrEnable0: UInt32 = 0
  var intrEnable1: UInt32 = 0
  var method0: UInt32 = 0
  var data0: UInt32 = 0
  var gpShadow: (UInt32, UInt32) = (0, 0)
  var headerShadow: UInt32 = 0
  var hceDebug: (UInt32, UInt32) = (0, 0)
  var errorChannel: UInt32 = 0
  /// INTR_STALL and TIMEOUT keep what is written: their conditions don't arise here.
  var stall: UInt32 = 0
  var timeout: UInt32 = 0x1_0000
  /// Which word an error left behind for a later look.
  var errorKind = ErrorKind.none
  /// Methods executed.
  var methodCount: UInt64 = 0

  let agent: Agent
  /// Set by whoever owns the unit: the step that the agent runs.
  private let stepBox: StepBox

  struct RunlistItem {
    let channel: Channel
    let group: UInt32?
    /// Nanoseconds.
    let timeslice: UInt64
  }
  struct Submission {
    let items: [RunlistItem]
    let due: UInt64
  }
  enum Preempt: Equatable {
    case channel(UInt32)
    case group(UInt32)

    /// Whether it means a channel that was loaded as one of `group`.
    func names(_ channel: Channel, _ group: UInt32?) -> Bool {
      switch self {
      case .channel(let id): channel.id == id
      case .group(let id): group == id
      }
    }
  }
  enum ErrorKind {
    case none
    /// METHOD0 and DATA0 are executed again, as the driver left them.
    case method
    /// What was read is skipped.
    case skip
  }
  final class StepBox {
    var run: () -> Void = {}
  }

  init(
    _ board: Board, _ mmu: MMU, _ reports: FaultReports, _ interrupts: HostInterrupts,
    index: UInt32, _ info: ChipEngine, _ engine: (any HostEngine)?
  ) {
    self.board = board
    self.mmu = mmu
    self.reports = reports
    self.interrupts = interrupts
    self.index = index
    self.info = info
    self.engine = engine
    hasFixedFunctions = engine is CopyEngine
    runlistID = info.runlist
    let box = StepBox()
    stepBox = box
    agent = board.kernel.agent(
      board.configuration.named("pbdma\(index)"), group: .engines
    ) { box.run() }
    box.run = { [unowned self] in step() }
    engine?.onProgress = { [unowned self] in
      if isWaitingForEngine || preempt != nil { agent.kick() }
    }
  }

  func retire() {
    stepBox.run = {}
    agent.retire()
  }

  // MARK: the runlist

  var isSubmissionPending: Bool { submission != nil }

  func submit(_ items: [RunlistItem]) {
    submission = Submission(items: items, due: board.kernel.now &+ board.cost.runlistLatency)
    wake(after: board.cost.runlistLatency)
  }

  func wake(after delay: UInt64) {
    if delay == 0 { agent.kick() } else { agent.kick(after: delay) }
  }

  private func completeSubmission() {
    guard let waiting = submission, waiting.due <= board.kernel.now else { return }
    submission = nil
    runlist = waiting.items
    cursor = 0
    for item in runlist { item.channel.isRung = true }
    interrupts.runlistDone(runlistID)
  }

  func request(_ request: Preempt) {
    preempt = request
    if matches(request) { engine?.isHeld = true }
    agent.kick()
  }

  private func matches(_ request: Preempt) -> Bool {
    guard let current else { return false }
    return request.names(current, currentGroup)
  }

  /// Takes the channel off when the engine has let go of it and saved what it holds of it.
  private func completePreempt() {
    guard let request = preempt else { return }
    if matches(request) {
      guard engine?.isPreemptible ?? true else { return }
      if let current { engine?.putAway(current) }
      switchOut()
    }
    if let engine, let held = engine.channel, request.names(held, held.group), !engine.unload() {
      return
    }
    preempt = nil
    engine?.isHeld = false
  }

  /// PMC_ENABLE of PFIFO went to 0.
  func reset() {
    switchOut()
    runlist = []
    submission = nil
    preempt = nil
    engine?.isHeld = false
    intr0 = 0
    intr1 = 0
    errorKind = .none
    interrupts.pbdma(index, false)
  }

  // MARK: stepping

  private var isStopped: Bool {
    isSchedulingDisabled || interrupts.stoppedRunlists & 1 << runlistID != 0
      || intr0 | intr1 != 0
  }

  private func step() {
    guard !board.isLost else { return }
    board.touch()
    completeSubmission()
    completePreempt()
    isWaitingForEngine = false
    // A channel that took a fault is off the unit once the engine has let go of it.
    if let current, current.isFaulted, engineIsIdle { switchOut() }
    // An endless push buffer must not keep the machine from anything else.
    var budget = 65_536
    while preempt == nil, !isStopped, let channel = current ?? next() {
      switch advance(channel, &budget) {
      case .outOfWork:
        guard engineIsIdle else {
          isWaitingForEngine = true
          writeBack(channel)
          return
        }
        switchOut()
      case .engine:
        isWaitingForEngine = true
        writeBack(channel)
        return
      case .acquire(let mayYield):
        guard mayYield, hasOther(than: channel), engineIsIdle else {
          writeBack(channel)
          return
        }
        switchOut()
      case .delay(let until):
        wake(after: until - board.kernel.now)
        return
      case .yield:
        guard hasOther(than: channel) else { continue }
        guard engineIsIdle else {
          isWaitingForEngine = true
          writeBack(channel)
          return
        }
        switchOut()
      case .stopped:
        writeBack(channel)
        return
      case .budget:
        writeBack(channel)
        agent.kick()
        return
      }
    }
    // A channel whose engine stands still stays; it is looked at again when the engine moves.
    if let current { writeBack(current) }
    if preempt != nil { isWaitingForEngine = true }
  }

  private func hasOther(than channel: Channel) -> Bool {
    runlist.contains {
      $0.channel !== channel && $0.channel.isRunnable && !$0.channel.isWaitingLong(board.kernel.now)
    }
  }

  /// Whether the channel's time slice is over and another waits.
  func mustRotate(_ channel: Channel) -> Bool {
    runlist.count > 1 && board.kernel.now &- sliceStart >= sliceLength && hasOther(than: channel)
  }

  private func next() -> Channel? {
    for step in 0..<runlist.count {
      let position = (cursor + step) % runlist.count
      let item = runlist[position]
      guard item.channel.isRunnable, !item.channel.isWaitingLong(board.kernel.now) else { continue }
      cursor = position + 1
      guard load(item.channel) else {
        if isStopped { return nil }
        continue
      }
      current = item.channel
      currentGroup = item.group
      sliceStart = board.kernel.now
      sliceLength = item.timeslice
      item.channel.group = item.group
      engine?.takeBack(item.channel)
      board.kernel.trace.record(.schedule, UInt64(item.channel.id), on: agent.row)
      return item.channel
    }
    return nil
  }

  func switchOut() {
    guard let channel = current else { return }
    writeBack(channel)
    channel.isLoaded = false
    current = nil
    currentGroup = nil
  }

  /// A channel left the runlist's engine for good: the driver unbound or reset it.
  func drop(_ channel: Channel) {
    if current === channel { switchOut() }
  }
}

extension Channel {
  /// Waits for a semaphore and isn't due for another try.
  func isWaitingLong(_ now: UInt64) -> Bool {
    guard acquireStart != nil, !isAcquirePoked, let nextTry = acquireNextTry else { return false }
    return now < nextTry
  }
}
