import Base
import DMAFence
import KernelRuntime
import Testing

@Suite struct FenceCoreTests {
  @Test func waitRemaining_isWhatTheLimitLeaves() throws {
    try flow { bench in
      let fence = bench.fence()
      bench.kernel.after(300, "signal") { fence.signal() }
      #expect(await fence.wait(timeout: 1000) == .signaled(remaining: 700))
      #expect(await fence.wait() == .signaled(remaining: .max))
      #expect(fence.timestamp == 300)
    }
  }

  @Test func timestamp_isThereWheneverTheFenceIsSignalled() throws {
    try flow { bench in
      let fence = bench.fence()
      #expect(fence.timestamp == nil)
      await bench.kernel.sleep(77)
      // D12: a callback already reads the time.
      fence.addCallback { #expect($0.timestamp == 77) }
      fence.signal()
      #expect(bench.fence().signal(at: 5))
    }
  }

  @Test func enabling_happensOnceAndOnlyWhenAsked() throws {
    try flow { bench in
      let fence = bench.fence(9)
      #expect(!fence.isSignaled)
      #expect(bench.driver.enabled.isEmpty)
      fence.addCallback { _ in }
      fence.addCallback { _ in }
      fence.enableSignaling()
      #expect(bench.driver.enabled == [9])
      #expect(fence.isSignalingEnabled)
    }
  }

  @Test func enablingThatAnswersFalse_signals() throws {
    try flow { bench in
      bench.driver.canEnable = false
      let fence = bench.fence()
      #expect(fence.addCallback { _ in Issue.record("a refused callback ran") } == nil)
      #expect(fence.status == .signaled)
    }
  }

  @Test func peek_signalsAndRunsCallbacks() throws {
    try flow { bench in
      let fence = bench.fence()
      var calls = 0
      fence.addCallback { _ in calls += 1 }
      bench.driver.isDone = true
      #expect(fence.isSignaled)
      #expect(calls == 1)
    }
  }

  /// D09: adding, signalling and enabling in every order; each callback runs once or is refused.
  @Test func addSignalEnable_loseNoCallbackInAnyOrder() throws {
    try explore(seeds: 0..<300) { bench in
      let kernel = bench.kernel
      let fence = bench.fence()
      bench.driver.canEnable = kernel.draw(below: 2, "can enable") == 1
      var ran = 0
      var refused = 0
      let tasks = (0..<3).map { index in
        kernel.spawn("add \(index)") {
          await kernel.point()
          if fence.addCallback({ _ in ran += 1 }) == nil { refused += 1 }
        }
      }
      let others = [
        kernel.spawn("signal") {
          await kernel.point()
          fence.signal()
        },
        kernel.spawn("enable") {
          await kernel.point()
          fence.enableSignaling()
        },
      ]
      for task in tasks + others { await task.join() }
      try require(ran + refused == 3, "ran \(ran), refused \(refused)")
    }
  }

  @Test func callbackThatRemovesItself_getsFalse() throws {
    try flow { bench in
      let fence = bench.fence()
      var own: FenceCallback?
      var answer: Bool?
      own = fence.addCallback { fence in
        if let own { answer = fence.removeCallback(own) }
      }
      fence.signal()
      #expect(answer == false)
    }
  }

  @Test func removedCallbacks_leaveTheOthersInOrder() throws {
    for seed in UInt64(0)..<100 {
      let bench = Bench()
      let fence = bench.fence()
      var random = SplitMix64(seed: seed)
      var expected: [Int] = []
      var ran: [Int] = []
      var live: [(Int, FenceCallback)] = []
      for number in 0..<200 {
        if let callback = fence.addCallback({ _ in ran.append(number) }) {
          live.append((number, callback))
        }
        while live.count > 3 && random.chance(2, in: 3) {
          let (_, callback) = live.remove(at: random.below(live.count))
          #expect(fence.removeCallback(callback), "seed \(seed)")
          #expect(!fence.removeCallback(callback), "seed \(seed)")
        }
      }
      expected = live.map(\.0)
      fence.signal()
      #expect(ran == expected, "seed \(seed)")
    }
  }

  /// D04: a callback drops the last reference to its own fence and to another of the context.
  @Test func callbackThatDropsFences_isHarmless() throws {
    weak var gone: Fence?
    try flow { bench in
      let lock = SpinLock("context")
      let context = bench.contexts.allocate()
      func make(_ seqno: UInt64) -> Fence {
        Fence(bench.kernel, operations: bench.driver, context: context, seqno: seqno, lock: lock)
      }
      var held: [Fence] = [make(1), make(2)]
      gone = held[0]
      held[0].addCallback { _ in held.removeAll() }
      held[0].signal()
      #expect(held.isEmpty)
    }
    #expect(gone == nil)
  }

  /// R78: whoever waits for a fence that is dropped gets an error, not silence.
  @Test func fenceDroppedWithCallbacks_endsWithEDEADLK() throws {
    try flow { bench in
      var status: FenceStatus?
      var seqno: UInt64?
      do {
        let fence = bench.fence(42)
        fence.addCallback {
          status = $0.status
          seqno = $0.seqno
        }
      }
      #expect(status == .failed(.EDEADLK))
      #expect(seqno == 42)
    }
  }

  /// D13: names are known after the driver's object has gone.
  @Test func names_outliveTheDriver() throws {
    let kernel = Kernel()
    var driver: MockDriver? = MockDriver()
    weak let gone = driver
    let fence = Fence(kernel, operations: try #require(driver), context: 1, seqno: 1)
    driver = nil
    #expect(gone != nil)
    fence.signal()
    #expect(gone == nil)
    #expect(fence.driverName == "mock")
    #expect(fence.timelineName == "mock timeline")
    #expect(fence.isSignaled)
  }

  @Test func release_isToldToDriversThatAsk() throws {
    let bench = Bench()
    bench.driver.wantsRelease = true
    do {
      let fence = bench.fence(3)
      fence.signal()
      #expect(bench.driver.released.isEmpty)
    }
    #expect(bench.driver.released == [3])
  }

  @Test func deadline_reachesTheDriverWhilePending() throws {
    try flow { bench in
      let fence = bench.fence()
      let other = bench.fence()
      FenceArray(bench.contexts, [fence, other]).setDeadline(50)
      FenceChain(bench.contexts, after: nil, fence, seqno: 1).setDeadline(40)
      #expect(bench.driver.deadlines == [50, 50, 40])
      fence.signal()
      fence.setDeadline(30)
      #expect(bench.driver.deadlines.count == 3)
    }
  }

  @Test(arguments: [
    (UInt64(1), UInt64(0xffff_ffff), true), (0xffff_ffff, 1, false), (0x8000_0000, 0, false),
    (0x7fff_ffff, 0, true), (5, 5, false),
  ])
  func shortNumbers_orderAcrossTheWrap(a: UInt64, b: UInt64, isLater: Bool) {
    #expect(Fence.isLater(a, than: b, is64Bit: false) == isLater)
  }

  /// D02: points above 32 bits are compared whole.
  @Test func longNumbers_areComparedWhole() {
    #expect(Fence.isLater(0x2_0000_0000, than: 0x1_0000_0001, is64Bit: true))
    #expect(!Fence.isLater(0x1_0000_0001, than: 0x2_0000_0000, is64Bit: true))
  }

  @Test func arrows_runFromEmitToWaiter() throws {
    let bench = Bench(trace: true)
    try bench.kernel.run {
      let row = bench.kernel.trace.row("context 7", in: .fences)
      let fence = Fence(
        bench.kernel, operations: bench.driver, context: 7, seqno: 1, row: row)
      bench.kernel.after(100, "irq") {
        fence.setError(.EIO)
        fence.signal()
      }
      _ = await fence.wait()
    }
    #expect(
      bench.kernel.trace.text() == """
                   0  context 7               fence.emit             context=7 seqno=1
                 100  context 7               fence.signal           context=7 seqno=1 errno=5
                 100  main                    fence.wait             context=7 seqno=1

        """)
  }

  @Test func hang_namesTheFence() throws {
    let bench = Bench()
    let fence = bench.fence(5, context: 3)
    let failure = #expect(throws: RunFailure.self) {
      try bench.kernel.run { _ = await fence.wait() }
    }
    #expect(failure?.description == "deadlock: main waits for fence 3:5")
  }

  @Test func programmersErrors_trap() async {
    await #expect(processExitsWith: .failure) {
      let bench = Bench()
      let fence = bench.fence()
      fence.signal()
      fence.setError(.EIO)
    }
    await #expect(processExitsWith: .failure) {
      let bench = Bench()
      let fence = bench.fence()
      fence.addCallback { $0.signal() }
      fence.signal()
    }
    await #expect(processExitsWith: .failure) {
      let bench = Bench()
      _ = bench.fence().isLater(than: bench.fence())
    }
    await #expect(processExitsWith: .failure) {
      let bench = Bench()
      _ = FenceArray(bench.contexts, [FenceArray(bench.contexts, [bench.fence()])])
    }
  }
}

@Suite struct FenceWaitTests {
  @Test func signal_endsAnInterruptibleWaitInEveryOrder() throws {
    try explore { bench in
      let fence = bench.fence()
      try await Self.signalEnds(bench) { () async throws(KernelError) in
        _ = try await fence.waitInterruptible(timeout: 10 * second)
      }
    }
  }

  /// A signal to the task that waits ends its wait with `ERESTARTSYS`, at once.
  private static func signalEnds(
    _ bench: Bench, _ wait: @escaping () async throws(KernelError) -> Void
  ) async throws {
    var ended: KernelError?
    let waiter = bench.kernel.spawn("waiter") {
      do throws(KernelError) {
        try await wait()
      } catch {
        ended = error
      }
    }
    await bench.kernel.point()
    waiter.interrupt()
    await waiter.join()
    try require(ended == .ERESTARTSYS, "\(String(describing: ended))")
    try require(bench.kernel.now < second, "slept on after the signal")
    waiter.clearSignal()
  }

  @Test func waitAny_returnsTheFirst() throws {
    try explore { bench in
      let fences = bench.fences(4)
      let index = bench.kernel.draw(below: 4, "which")
      bench.kernel.after(100, "signal") { fences[index].signal() }
      let ended = try await Fence.waitAny(fences, timeout: second)
      guard case .signaled(let first, _) = ended else {
        throw Broken(description: "\(ended)")
      }
      try require(first == index, "\(first) instead of \(index)")
      try require(try await Fence.waitAny(fences, timeout: 0) == ended.polled, "the poll differs")
      let none = bench.fences(2)
      try require(try await Fence.waitAny(none, timeout: 100) == .timedOut, "nothing was signalled")
    }
  }

  /// A signal to the process ends a wait for several, and leaves no callback behind.
  @Test(arguments: [true, false]) func waitForSeveral_endsWithASignal(isAny: Bool) throws {
    try explore { bench in
      let fences = bench.fences(3)
      try await Self.signalEnds(bench) { () async throws(KernelError) in
        _ =
          isAny
          ? try await Fence.waitAny(fences, timeout: 10 * second, isInterruptible: true)
          : try await Fence.waitAll(fences, timeout: 10 * second, isInterruptible: true)
      }
      for fence in fences { try require(fence.signal(), "signalled") }
    }
  }

  /// Fences that are done already, or one of which is, need no sleep.
  @Test func waitForSeveral_thatAreDoneNeedsNoTime() throws {
    try flow { bench in
      let fences = bench.fences(3)
      fences[1].signal()
      let any = try await Fence.waitAny(fences, timeout: 100)
      #expect(any == .signaled(first: 1, remaining: 100))
      for index in [0, 2] { fences[index].signal() }
      let all = try await Fence.waitAll(fences, timeout: 100)
      #expect(all == .signaled(first: 0, remaining: 100))
      #expect(bench.kernel.now == 0)
    }
  }

  @Test func waitAny_ofNothingIsRefused() throws {
    try flow { _ in
      await #expect(throws: KernelError.EINVAL) { _ = try await Fence.waitAny([]) }
    }
  }

  @Test func waitAll_needsEveryFenceWithinOneLimit() throws {
    try flow { bench in
      let fences = bench.fences(3)
      for (index, fence) in fences.enumerated() {
        bench.kernel.after(UInt64(100 * (index + 1)), "signal") { fence.signal() }
      }
      let ended = try await Fence.waitAll(fences, timeout: 1000)
      #expect(ended == .signaled(first: 0, remaining: 700))
      let more = bench.fences(2)
      bench.kernel.after(60, "signal") { more[0].signal() }
      let late = try await Fence.waitAll(more, timeout: 100)
      #expect(late == .timedOut)
      #expect(bench.kernel.now == 400)
    }
  }
}

extension FencesWait {
  fileprivate var polled: FencesWait {
    guard case .signaled(let first, _) = self else { return self }
    return .signaled(first: first, remaining: 1)
  }
}
