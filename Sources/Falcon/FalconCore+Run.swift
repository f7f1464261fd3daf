extension FalconCore {
  /// Lets `cycles` core cycles pass, or fewer when the processor stops or sleeps for good.
  ///
  /// The last instruction may overrun the budget by its own cycles.
  @discardableResult
  public func run(cycles: UInt64) -> FalconRunState {
    let (sum, overflow) = store.cycle.addingReportingOverflow(cycles)
    let end = overflow ? .max : sum
    while true {
      service()
      takeInterrupt()
      if stop != nil || sleeping {
        guard let next = nextDeadline else { return restingState }
        guard next <= end else {
          store.cycle = max(end, store.cycle)
          return stop.map { .stopped($0) } ?? .budgetSpent
        }
        store.cycle = max(next, store.cycle)
        continue
      }
      guard store.cycle < end else { return .budgetSpent }
      if codeIsStale {
        codeIsStale = false
        store.forgetMicroOps()
      }
      dueAt = nextDeadline ?? .max
      store.limit = min(end, dueAt)
      if trace == nil { interpret() } else { interpretTraced() }
    }
  }

  /// Runs one instruction, or enters an interrupt handler if an interrupt is due.
  @discardableResult
  public func step() -> FalconRunState { run(cycles: 1) }

  /// Brings timers, transfers and devices up to the current cycle.
  func service() {
    let now = store.cycle
    var changed = false
    if timers.advance(to: now) {
      interrupts.pulse(FalconLine.periodic)
      changed = true
    }
    while let done = transfers.deadline, done <= now {
      completeFirstTransfer()
      changed = true
    }
    for device in devices {
      while let due = device.deadline, due <= now {
        device.advance(to: now, on: self)
        changed = true
      }
    }
    if let raise = channels.raiseAt, raise <= now, channelSwitchIsAcknowledged {
      channels.raiseAt = nil
      interrupts.pulse(FalconLine.channelSwitch)
      changed = true
    }
    if changed || timers.watchdogExpired { linesChanged() }
  }

  /// ``service()`` if anything is due. Whatever makes something due earlier ends the inner loop,
  /// which then computes `dueAt` again.
  @inline(__always)
  func serviceIfDue() {
    if store.cycle >= dueAt { service() }
  }

  /// Whether the flip-flop of the channel-switch line is clear.
  private var channelSwitchIsAcknowledged: Bool {
    interrupts.latched & FalconLine.channelSwitch == 0
  }

  /// The next cycle at which something other than an instruction happens.
  var nextDeadline: UInt64? {
    var next = timers.deadline
    func consider(_ candidate: UInt64?) {
      guard let candidate else { return }
      next = next.map { min($0, candidate) } ?? candidate
    }
    consider(transfers.deadline)
    for device in devices { consider(device.deadline) }
    if channelSwitchIsAcknowledged { consider(channels.raiseAt) }
    return next
  }

  /// What a processor that runs nothing, and that nothing inside will wake, is doing.
  private var restingState: FalconRunState { stop.map { .stopped($0) } ?? .sleeping }

  /// Whether an interrupt is pending for a vector that the flags let through.
  var interruptIsDue: Bool {
    let flags = store.flags
    return flags & FalconFlag.interruptEnable0 != 0 && interrupts.pending(to: .vector0) != 0
      || flags & FalconFlag.interruptEnable1 != 0 && interrupts.pending(to: .vector1) != 0
  }

  /// Enters an interrupt handler if one is due. Vector 0 goes first.
  private func takeInterrupt() {
    guard stop == nil, interruptIsDue else { return }
    let lines = interrupts.pending(to: .vector0)
    let first = lines != 0 && store.flags & FalconFlag.interruptEnable0 != 0
    let pending = first ? lines : interrupts.pending(to: .vector1)
    trace?.falconDidTakeInterrupt(vector: first ? 0 : 1, pending: pending, cycle: store.cycle)
    sleeping = false
    pushWord(store.pc)
    let flags = store.flags
    let enables = FalconFlag.interruptEnable0 | FalconFlag.interruptEnable1
    let saves = FalconFlag.interruptSave0 | FalconFlag.interruptSave1
    // The save bits stand four above the enable bits.
    store.flags = flags & ~(enables | saves) | (flags & enables) << 4
    store.pc = first ? special.iv0 : special.iv1
    store.cycle &+= 4
  }

  private func interpret() {
    while store.cycle < store.limit {
      let pc = store.pc
      execute(store.microOp(at: pc), at: pc)
    }
  }

  private func interpretTraced() {
    while store.cycle < store.limit {
      let pc = store.pc
      if store.microOp(at: pc).group != .undecoded, let instruction = instruction(at: pc) {
        trace?.falconWillExecute(instruction, at: pc, cycle: store.cycle)
      }
      execute(store.microOp(at: pc), at: pc)
    }
  }

  /// Runs one prepared instruction.
  @inline(__always)
  private func execute(_ operation: FalconMicroOp, at pc: UInt32) {
    store.pc = pc &+ UInt32(operation.length)
    store.cycle &+= UInt64(operation.cycles)
    store.retired &+= 1
    switch operation.group {
    case .sized: executeSized(operation)
    case .whole: executeWhole(operation)
    case .flow: executeFlow(operation, at: pc)
    case .system: executeSystem(operation, at: pc)
    case .undecoded: prepareOrTrap(at: pc)
    }
  }

  /// Puts the instruction at `pc` into the cache, to run on the next turn, or traps.
  private func prepareOrTrap(at pc: UInt32) {
    // This turn ran nothing: take back what it counted.
    store.pc = pc
    store.cycle &-= UInt64(FalconMicroOp.undecoded.cycles)
    store.retired &-= 1
    switch fetch(at: pc) {
    case .success(let instruction):
      store.setMicroOp(FalconMicroOp(instruction, at: pc), at: pc)
    case .failure(let reason): fetchFailed(reason)
    }
  }
}
