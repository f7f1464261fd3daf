import Base
import DMAFence
import KernelRuntime
import Testing

/// One case of the wait matrix: how many objects, in which states, and the flags.
struct WaitCase: CustomTestStringConvertible, Sendable {
  enum State: String, Sendable, CaseIterable {
    case unsubmitted
    case submitted
    case signaled
  }
  let states: [State]
  let flags: SyncWaitFlags

  /// IGT's name of the case.
  var testDescription: String {
    let outcome: String
    switch expected {
    case .EINVAL: outcome = "invalid-"
    case .ETIME: outcome = "etime-"
    default: outcome = ""
    }
    let scope = states.count == 1 ? "single" : "multi"
    let which = flags.contains(.all) ? "wait-all" : "wait"
    let submit = flags.contains(.forSubmit) ? "-for-submit" : ""
    let available = flags.contains(.available) ? "-available" : ""
    let names = State.allCases.filter { states.contains($0) }.map(\.rawValue)
    return "\(outcome)\(scope)-\(which)\(submit)\(available)-\(names.joined(separator: "-"))"
  }

  /// The rule: a missing fence is an error unless it is waited for; otherwise each object is ready
  /// when signalled (or submitted, for availability), and any or all must be.
  var expected: KernelError? {
    let waits = flags.contains(.forSubmit) || flags.contains(.available)
    if !waits && states.contains(.unsubmitted) { return .EINVAL }
    let isReady = states.map { state in
      state == .signaled || (state == .submitted && flags.contains(.available))
    }
    let holds = flags.contains(.all) ? !isReady.contains(false) : isReady.contains(true)
    return holds ? nil : .ETIME
  }

  /// Single objects in each state, and every mix of states on several objects.
  static func matrix(withAvailable: Bool) -> [WaitCase] {
    var flagSets: [SyncWaitFlags] = [[], .all, .forSubmit, [.all, .forSubmit]]
    if withAvailable { flagSets += flagSets.map { $0.union(.available) } }
    var mixes: [[State]] = State.allCases.map { [$0] }
    for bits in 1..<8 {
      let states = State.allCases.enumerated().filter { bits & (1 << $0.offset) != 0 }
        .map(\.element)
      mixes.append(states.count == 1 ? [states[0], states[0], states[0]] : states)
    }
    return flagSets.flatMap { flags in mixes.map { WaitCase(states: $0, flags: flags) } }
  }
}

@Suite("syncobj waits") struct SyncObjectWaitTests {
  private func check(_ wait: WaitCase, isTimeline: Bool) throws {
    try client { c in
      var handles: [UInt32] = []
      for state in wait.states {
        let fence = c.bench.fence()
        if state == .signaled { fence.signal() }
        let point: UInt64? = isTimeline ? 1 : nil
        handles.append(try c.handle(state == .unsubmitted ? nil : fence, at: point))
      }
      let points = isTimeline ? [UInt64](repeating: 1, count: handles.count) : nil
      let polled = await c.outcome(handles, points: points, flags: wait.flags.rawValue)
      #expect(polled == wait.expected)
      let start = c.bench.kernel.now
      let waited = await c.outcome(
        handles, points: points, flags: wait.flags.rawValue, timeout: millisecond)
      #expect(waited == wait.expected)
      #expect(c.bench.kernel.now - start == (wait.expected == .ETIME ? millisecond : 0))
    }
  }

  @Test("syncobj_timeline: wait matrix", arguments: WaitCase.matrix(withAvailable: true))
  func timeline(wait: WaitCase) throws { try check(wait, isTimeline: true) }

  @Test("syncobj_wait: wait matrix", arguments: WaitCase.matrix(withAvailable: false))
  func binary(wait: WaitCase) throws { try check(wait, isTimeline: false) }

  // MARK: delayed

  /// A wait that begins first, while somebody submits or signals at times of his own.
  private func delayed(
    isTimeline: Bool, count: Int, flags: SyncWaitFlags, isSubmittedLate: Bool
  ) throws {
    try explore(seeds: 0..<60) { bench in
      let c = Client(bench)
      let kernel = bench.kernel
      let fences = bench.fences(count)
      let point: UInt64? = isTimeline ? 1 : nil
      let handles = try fences.map { try c.handle(isSubmittedLate ? nil : $0, at: point) }
      var acted = 0
      let actor = kernel.spawn("device") {
        for (handle, fence) in zip(handles, fences) {
          await kernel.sleep(100)
          if isSubmittedLate { try? c.attach(fence, to: handle, at: point) }
          await kernel.sleep(100)
          acted += 1
          fence.signal()
        }
      }
      let points = isTimeline ? [UInt64](repeating: 1, count: count) : nil
      let error = await c.outcome(handles, points: points, flags: flags.rawValue, timeout: second)
      try require(error == nil, "\(String(describing: error))")
      try require(
        acted >= (flags.contains(.all) ? count : 1), "went on after \(acted) of \(count)")
      await actor.join()
    }
  }

  @Test("syncobj: wait-delayed-signal", arguments: [false, true], [false, true])
  func delayedSignal(isTimeline: Bool, forSubmit: Bool) throws {
    try delayed(
      isTimeline: isTimeline, count: 1, flags: forSubmit ? .forSubmit : [], isSubmittedLate: false)
  }

  @Test("syncobj: wait-for-submit-delayed-submit", arguments: [false, true])
  func delayedSubmit(isTimeline: Bool) throws {
    try delayed(isTimeline: isTimeline, count: 1, flags: .forSubmit, isSubmittedLate: true)
  }

  @Test("syncobj: wait-all-delayed-signal", arguments: [false, true])
  func allDelayedSignal(isTimeline: Bool) throws {
    try delayed(isTimeline: isTimeline, count: 3, flags: .all, isSubmittedLate: false)
  }

  @Test("syncobj: wait-all-for-submit-delayed-submit", arguments: [false, true])
  func allDelayedSubmit(isTimeline: Bool) throws {
    try delayed(
      isTimeline: isTimeline, count: 3, flags: [.all, .forSubmit], isSubmittedLate: true)
  }

  @Test("syncobj: wait-any-for-submit-delayed-submit", arguments: [false, true])
  func anyDelayedSubmit(isTimeline: Bool) throws {
    try delayed(isTimeline: isTimeline, count: 3, flags: .forSubmit, isSubmittedLate: true)
  }

  // MARK: snapshots and interruption

  /// A waiter, and a predicate on what is attached and signalled that says when it may go on.
  private func snapshot(_ flags: SyncWaitFlags) throws {
    try explore(seeds: 0..<60) { bench in
      let c = Client(bench)
      let kernel = bench.kernel
      let handles = try (0..<8).map { _ in try c.handle() }
      let fences = bench.fences(8)
      var submitted = [Bool](repeating: false, count: 8)
      var wentOn = false
      let waiter = kernel.spawn("waiter") {
        wentOn =
          await c.outcome(
            handles, points: Array(repeating: 1, count: 8), flags: flags.rawValue,
            timeout: 100 * second) == nil
      }
      var order = Array(0..<16)
      for index in order.indices.reversed() {
        order.swapAt(index, kernel.draw(below: index + 1, "order"))
      }
      for step in order {
        let index = step % 8
        if step < 8 {
          try c.attach(fences[index], to: handles[index], at: 1)
          submitted[index] = true
        } else {
          fences[index].signal()
        }
        let isReady = (0..<8).map { index in
          submitted[index] && (flags.contains(.available) || fences[index].isSignaledFlag)
        }
        let holds = flags.contains(.all) ? !isReady.contains(false) : isReady.contains(true)
        await kernel.sleep(10 * second / 16)
        try require(wentOn == holds, "after step \(step): went on \(wentOn), should \(holds)")
        if holds { break }
      }
      await waiter.join()
    }
  }

  @Test("syncobj: wait-any-snapshot") func anySnapshot() throws { try snapshot(.forSubmit) }
  @Test("syncobj: wait-all-snapshot") func allSnapshot() throws {
    try snapshot([.all, .forSubmit])
  }
  @Test("syncobj: wait-for-submit-snapshot") func submitSnapshot() throws {
    try snapshot(.available)
  }
  @Test("syncobj: wait-all-for-submit-snapshot") func allSubmitSnapshot() throws {
    try snapshot([.all, .available])
  }

  @Test("syncobj: wait-any-interrupted") func anyInterrupted() throws {
    try interrupted(isAll: false)
  }
  @Test("syncobj: wait-all-interrupted") func allInterrupted() throws {
    try interrupted(isAll: true)
  }

  private func interrupted(isAll: Bool) throws {
    try explore(seeds: 0..<60) { bench in
      let c = Client(bench)
      let handles = try (0..<3).map { _ in try c.handle(bench.fence(), at: 1) }
      var error: KernelError?
      let waiter = bench.kernel.spawn("waiter") {
        error = await c.outcome(
          handles, points: [1, 1, 1], flags: isAll ? 1 : 0, timeout: 10 * second)
      }
      await bench.kernel.point()
      waiter.interrupt()
      await waiter.join()
      try require(error == .ERESTARTSYS, "\(String(describing: error))")
      try require(bench.kernel.now < second, "slept on after the signal")
      waiter.clearSignal()
    }
  }
}
