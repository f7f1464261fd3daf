import Base
import DeviceSeam
import KernelRuntime
import NVHardware

/// A logical copy engine: launches in, bytes moved, semaphores and interrupts out.
final class CopyEngine {
  enum State: Equatable {
    case idle
    /// A launch is under way.
    case running
    /// LAUNCHERR waits to be acknowledged; the launch is dropped then.
    case refused
    /// A blocking interrupt waits to be acknowledged.
    case blocked
    /// An MMU fault stopped it; a reset helps.
    case faulted
    /// It makes no progress; a reset helps.
    case hung
  }

  let board: Board
  let mmu: MMU
  let reports: FaultReports
  let interrupts: HostInterrupts
  let info: ChipEngine
  let instance: UInt32
  private(set) var state = State.idle
  /// Launches that wait, at most ``depth``.
  private var queue: [CopyLaunch] = []
  private var current: CopyLaunch?
  private var job = CopyJob()
  private var fault: CopyFault?
  private var startedAt: UInt64 = 0
  private var bytes: UInt64 = 0
  private var unmapsAtStart: UInt64 = 0
  private var usesSystem = false
  private var timer: TimerHandle?
  /// In real-time mode a worker still has the job of a launch that was reset.
  private var isAbandoned = false
  private(set) var intrStatus: UInt32 = 0
  var intrEnable: UInt32 = 0xf { didSet { updateInterrupt() } }
  private(set) var launchError: UInt32 = 0
  /// Kicked when the engine has room again or comes to rest.
  var onProgress: () -> Void = {}
  /// Launches completed, and bytes moved.
  private(set) var completed: UInt64 = 0
  private(set) var movedBytes: UInt64 = 0
  /// A preemption wants the engine: no further launch begins.
  var isHeld = false { didSet { if !isHeld { beginNext() } } }
  private let name: String
  private var madeAgent: Agent?
  private var agent: Agent {
    if let madeAgent { return madeAgent }
    let made = board.kernel.agent(name, group: .engines) { [unowned self] in step() }
    madeAgent = made
    return made
  }

  /// SOURCE: none published; enough for the host to run ahead of the engine.
  static let depth = 8

  init(
    _ board: Board, _ mmu: MMU, _ reports: FaultReports, _ interrupts: HostInterrupts,
    _ info: ChipEngine, instance: UInt32
  ) {
    self.board = board
    self.mmu = mmu
    self.reports = reports
    self.interrupts = interrupts
    self.info = info
    self.instance = instance
    name = board.configuration.named("ce\(instance)")
  }

  var hasRoom: Bool { queue.count < Self.depth }
  /// Nothing under way and nothing waiting.
  var isIdle: Bool { state == .idle && queue.isEmpty }
  /// The channel can be taken off: no launch is under way, or one stands that will never be done.
  var isPreemptible: Bool { state == .idle || state == .refused || state == .blocked }
  /// The channel whose context the engine holds.
  var channel: Channel? { current?.channel ?? queue.first?.channel }

  func enqueue(_ launch: CopyLaunch) {
    if isIdle, !isHeld {
      begin(launch)
    } else {
      queue.append(launch)
    }
  }

  private func beginNext() {
    guard state == .idle, !isHeld, !queue.isEmpty else { return }
    begin(queue.removeFirst())
  }

  /// Launches that haven't begun, for the channel to keep while it is off the engine.
  func takeQueue() -> [CopyLaunch] {
    defer { queue.removeAll(keepingCapacity: true) }
    return queue
  }

  private func begin(_ launch: CopyLaunch) {
    current = launch
    startedAt = board.kernel.now
    let failures = board.kernel.failures
    if failures.fires(.engineHang) {
      board.kernel.trace.record(.hang, UInt64(launch.channel.id), on: agent.row)
      state = .hung
      return
    }
    if failures.fires(.copyError) {
      refuse(LaunchError(rawValue: board.faults.launchError) ?? .INVALID_VALUE)
      return
    }
    if let error = launch.error {
      refuse(error)
      return
    }
    plan(launch)
    state = .running
    isAbandoned = false
    if board.kernel.mode == .realTime, !job.isEmpty {
      let work = board.configuration.movesBytes ? job : CopyJob()
      board.kernel.perform(cost: 0, then: agent) { work.run() }
    } else {
      timer = agent.kick(after: duration)
    }
  }

  private func plan(_ launch: CopyLaunch) {
    fault = nil
    bytes = 0
    usesSystem = false
    guard launch.transfers, rendersNow(launch) else {
      job.clear()
      return
    }
    resolve(launch)
    if board.kernel.failures.fires(.copyFault) { breakHalfWay(launch) }
    if board.kernel.failures.fires(.eccPoison) { poisonSource() }
    if !board.poisonedPages.isEmpty { stopAtPoison(launch) }
  }

  private func resolve(_ launch: CopyLaunch) {
    var planner = CopyPlanner(board, launch)
    planner.plan(into: &job)
    bytes = planner.bytes
    fault = planner.fault
    usesSystem = planner.usesSystemMemory
    unmapsAtStart = board.unmapCount
  }

  private var duration: UInt64 {
    let rate = usesSystem ? board.cost.systemRate : board.cost.vramRate
    return board.cost.launchLatency &+ bytes.multipliedReportingOverflow(by: 1_000).partialValue
      / rate
  }

  private func step() {
    guard !board.isLost else { return }
    board.touch()
    if isAbandoned {
      isAbandoned = false
      state = .idle
      beginNext()
      onProgress()
      return
    }
    guard state == .running, let launch = current else { return }
    finish(launch)
  }

  private func finish(_ launch: CopyLaunch) {
    timer = nil
    if board.kernel.mode == .simulated {
      // A page that was unmapped while the copy was under way is not touched: the bus refuses it.
      if usesSystem, fault == nil, unmapsAtStart != board.unmapCount { resolve(launch) }
      if board.configuration.movesBytes { job.run() }
    }
    board.kernel.trace.span(
      .copy, since: startedAt, UInt64(launch.channel.id), bytes, launch.state.source.address,
      launch.state.target.address, on: agent.row)
    movedBytes += bytes
    if !board.poisonedPages.isEmpty || board.dma.hasPeers { healTargets() }
    if let fault {
      report(fault, launch)
      return
    }
    completed += 1
    if launch.semaphoreType != 0, !releaseSemaphore(launch) { return }
    current = nil
    state = .idle
    raiseLaunchInterrupt(launch.interruptType)
    beginNext()
    onProgress()
  }

  private func raiseLaunchInterrupt(_ type: UInt32) {
    switch type {
    case ClassC0B5.LAUNCH_DMA_INTERRUPT_TYPE_BLOCKING:
      state = .blocked
      intrStatus |= NV_CE.LCE_INTR_STATUS_BLOCKPIPE.make32(1)
    case ClassC0B5.LAUNCH_DMA_INTERRUPT_TYPE_NON_BLOCKING:
      intrStatus |= NV_CE.LCE_INTR_STATUS_NONBLOCKPIPE.make32(1)
    default:
      return
    }
    updateInterrupt()
  }

  private func refuse(_ error: LaunchError) {
    guard let launch = current else { return }
    board.kernel.trace.record(
      .copyError, UInt64(launch.channel.id), UInt64(error.rawValue), on: agent.row)
    state = .refused
    launchError = error.rawValue
    intrStatus |= NV_CE.LCE_INTR_STATUS_LAUNCHERR.make32(1)
    updateInterrupt()
    onProgress()
  }

  /// Stops the engine at an address that leads nowhere.
  func report(_ fault: CopyFault, _ launch: CopyLaunch) {
    state = .faulted
    launch.channel.isFaulted = true
    interrupts.stoppedRunlists |= 1 << info.runlist
    reports.report(
      unit: info.faultID, instance: launch.context.instance, address: fault.address,
      type: fault.type, access: fault.access, client: info.faultClient)
    onProgress()
  }

  /// Write 1 to clear; a launch that was refused is dropped, a blocked engine goes on.
  func acknowledge(_ bits: UInt32) {
    intrStatus &= ~bits
    updateInterrupt()
    if state == .refused, NV_CE.LCE_INTR_STATUS_LAUNCHERR.get(intrStatus) == 0 {
      launchError = 0
      current = nil
      state = .idle
    } else if state == .blocked, NV_CE.LCE_INTR_STATUS_BLOCKPIPE.get(intrStatus) == 0 {
      state = .idle
    } else {
      return
    }
    beginNext()
    onProgress()
  }

  /// The unit's bit in PMC_ENABLE went to 0: everything under way and waiting is gone.
  func reset() {
    queue.removeAll(keepingCapacity: true)
    current = nil
    timer?.cancel()
    timer = nil
    launchError = 0
    intrStatus = 0
    updateInterrupt()
    if board.kernel.mode == .realTime, state == .running {
      isAbandoned = true
    } else {
      state = .idle
    }
    onProgress()
  }

  private func updateInterrupt() {
    let active = intrStatus & intrEnable
    let nonBlock = NV_CE.LCE_INTR_STATUS_NONBLOCKPIPE.make32(1)
    board.interrupts.set(tree: 0, bit: info.interrupt, active & ~nonBlock != 0)
    board.interrupts.set(tree: 1, bit: info.interrupt, active & nonBlock != 0)
  }

  func retire() {
    timer?.cancel()
    madeAgent?.retire()
  }
}

extension CopyEngine {
  // MARK: failures on request

  /// `gpu.copy_fault`: the first half moves, then the next address has no translation.
  private func breakHalfWay(_ launch: CopyLaunch) {
    let half = bytes / 2
    job.truncate(to: half)
    bytes = half
    fault = CopyFault(
      address: launch.state.target.address + half, type: .PTE, access: .WRITE)
  }

  private func poisonSource() {
    for segment in job.segments where segment.source != CopyJob.nowhere {
      guard job.memories[Int(segment.source)] === board.vram else { continue }
      board.poison(UInt64(segment.from))
      return
    }
  }

  /// Stops before the first byte that an uncorrectable error makes unreadable.
  private func stopAtPoison(_ launch: CopyLaunch) {
    var before: UInt64 = 0
    for segment in job.segments {
      if segment.source != CopyJob.nowhere, job.memories[Int(segment.source)] === board.vram,
        let bad = board.firstPoison(
          in: UInt64(segment.from)..<UInt64(segment.from + segment.length))
      {
        let moved = before + bad - UInt64(segment.from)
        job.truncate(to: moved)
        bytes = moved
        fault = CopyFault(
          address: launch.state.source.address + moved, type: .POISONED, access: .READ)
        return
      }
      before += UInt64(segment.length)
    }
  }

  private func healTargets() {
    for segment in job.segments where segment.target != CopyJob.nowhere {
      let range = UInt64(segment.to)..<UInt64(segment.to + segment.length)
      let memory = job.memories[Int(segment.target)]
      if memory === board.vram { board.heal(range) } else { board.dma.wrotePeer(memory, range) }
    }
    for run in job.fills where run.memory != CopyJob.nowhere {
      guard job.memories[Int(run.memory)] === board.vram else { continue }
      board.heal(UInt64(run.offset)..<UInt64(run.offset + run.length))
    }
  }
}
