import Base
import DMAFence
import KernelRuntime
import Testing

@Suite("syncobj_timeline") struct SyncObjectTimelineTests {
  // MARK: reset

  @Test("syncobj: reset-unsignaled") func resetUnsignaled() throws {
    try client { c in
      let handle = try c.handle(c.bench.fence())
      #expect(await c.outcome([handle]) == .ETIME)
      try c.table.reset([handle])
      #expect(await c.outcome([handle]) == .EINVAL)
    }
  }

  @Test("syncobj: reset-signaled") func resetSignaled() throws {
    try client { c in
      let handle = try c.table.create(flags: 1)
      #expect(await c.outcome([handle]) == nil)
      try c.table.reset([handle])
      #expect(await c.outcome([handle]) == .EINVAL)
    }
  }

  @Test("syncobj: reset-multiple-signaled") func resetSeveral() throws {
    try client { c in
      let handles = try (0..<3).map { _ in try c.table.create(flags: 1) }
      try c.table.reset(handles)
      for handle in handles { #expect(await c.outcome([handle]) == .EINVAL) }
      #expect(throws: KernelError.EINVAL) { try c.table.reset([]) }
      #expect(throws: KernelError.EINVAL) { try c.table.reset(handles, pad: 1) }
    }
  }

  @Test("syncobj: reset-during-wait-for-submit") func resetDuringWait() throws {
    try explore(seeds: 0..<60) { bench in
      let c = Client(bench)
      let handle = try c.handle()
      var error: KernelError? = .EIO
      let waiter = bench.kernel.spawn("waiter") {
        error = await c.outcome([handle], flags: 2, timeout: 10 * second)
      }
      await bench.kernel.point()
      try c.table.reset([handle])
      await bench.kernel.sleep(100)
      try c.table.signal([handle])
      await waiter.join()
      try require(error == nil, "\(String(describing: error))")
    }
  }

  // MARK: points

  @Test("syncobj_timeline: signal") func signal() throws {
    try client { c in
      let handle = try c.handle()
      for point in UInt64(1)...10 {
        try c.table.signal([handle], points: [point])
        try #expect(c.table.query([handle]) == [point])
      }
    }
  }

  @Test("syncobj_timeline: signal-array") func signalArray() throws {
    try client { c in
      let handles = try (0..<5).map { _ in try c.handle() }
      try c.table.signal(handles, points: [1, 2, 3, 4, 5])
      try #expect(c.table.query(handles) == [1, 2, 3, 4, 5])
      try c.table.signal(handles, points: [10, 20, 30, 40, 50])
      try #expect(c.table.query(handles) == [10, 20, 30, 40, 50])
    }
  }

  /// Point 0 begins the timeline anew, signalled.
  @Test("syncobj_timeline: signal-point-0") func signalPointZero() throws {
    try client { c in
      let handle = try c.handle()
      try c.table.signal([handle], points: [0])
      #expect(await c.outcome([handle], points: [0]) == nil)
      try #expect(c.table.query([handle]) == [0])
    }
  }

  @Test("syncobj_timeline: host-signal-points") func hostSignalPoints() throws {
    try client { c in
      let handle = try c.handle()
      var value: UInt64 = 0
      var random = SplitMix64(seed: 11)
      for _ in 0..<34 {
        value += UInt64(1 + random.below(1 << 16))
        try c.table.signal([handle], points: [value])
        try #expect(c.table.query([handle]) == [value])
        #expect(await c.outcome([handle], points: [value]) == nil)
      }
    }
  }

  @Test("syncobj_timeline: host-signal-ordered") func hostSignalOrdered() throws {
    try client { c in
      let handle = try c.handle()
      let line = SoftwareTimeline(c.bench.contexts, "host")
      for step in UInt32(1)...8 {
        try c.attach(try line.fence(at: step), to: handle, at: UInt64(step))
      }
      for step in UInt64(0)..<8 {
        try #expect(c.table.query([handle]) == [step])
        try #expect(c.table.query([handle], flags: 1) == [8])
        line.increment(by: 1)
      }
      try #expect(c.table.query([handle]) == [8])
    }
  }

  @Test("syncobj_timeline: device-signal-unordered") func deviceSignalUnordered() throws {
    try explore(seeds: 0..<60) { bench in
      let c = Client(bench)
      let handle = try c.handle()
      let fences = bench.fences(10)
      for (index, fence) in fences.enumerated() {
        try c.attach(fence, to: handle, at: UInt64(index + 1))
      }
      var left = Array(fences.indices)
      while !left.isEmpty {
        let index = left.remove(at: bench.kernel.draw(below: left.count, "queue"))
        fences[index].signal()
        // The value is the last point before the first that is open.
        let expected = fences.firstIndex { !$0.isSignaledFlag } ?? 10
        let value = try c.table.query([handle])[0]
        try require(value == UInt64(expected), "value \(value), expected \(expected)")
        await bench.kernel.point()
      }
    }
  }

  @Test("syncobj_timeline: device-submit-unordered") func deviceSubmitUnordered() throws {
    try explore(seeds: 0..<60) { bench in
      let c = Client(bench)
      let handle = try c.handle()
      var highest: UInt64 = 0
      for _ in 0..<10 {
        let point = UInt64(1 + bench.kernel.draw(below: 20, "point"))
        try c.attach(bench.contexts.stub, to: handle, at: point)
        highest = max(highest, point)
        let value = try c.table.query([handle])[0]
        try require(value == highest, "value \(value) fell below \(highest)")
      }
    }
  }

  @Test("syncobj_timeline: transfer-timeline-point") func transferPoint() throws {
    try client { c in
      let fence = c.bench.fence()
      let source = try c.handle(fence, at: 5)
      let target = try c.handle()
      let binary = try c.handle()
      try await c.table.transfer(from: source, at: 5, to: target, at: 2)
      try await c.table.transfer(from: source, at: 5, to: binary, at: 0)
      try #expect(c.table.query([target]) == [0])
      #expect(await c.outcome([binary]) == .ETIME)
      fence.signal()
      try #expect(c.table.query([target]) == [2])
      #expect(await c.outcome([binary]) == nil)
    }
  }

  @Test("syncobj_timeline: transfer waits for submission") func transferForSubmit() throws {
    try explore(seeds: 0..<40) { bench in
      let c = Client(bench)
      let (source, target) = (try c.handle(), try c.handle())
      let task = bench.kernel.spawn("submitter") {
        await bench.kernel.sleep(second)
        try? c.table.signal([source], points: [3])
      }
      try await c.table.transfer(from: source, at: 3, to: target, at: 1, flags: 2)
      try require(try c.table.query([target]) == [1], "the point is missing")
      await task.join()
      var refusal: KernelError?
      do throws(KernelError) {
        try await c.table.transfer(from: source, at: 9, to: target, at: 2, flags: 2)
      } catch {
        refusal = error
      }
      try require(refusal == .ETIME, "an absent point: \(String(describing: refusal))")
    }
  }

  @Test("syncobj_timeline: 32bits-limit") func limit() throws {
    try client { c in
      let handle = try c.handle()
      let edge = UInt64(Int32.max)
      for point in [edge - 1, edge, edge + 1, UInt64(UInt32.max), UInt64(UInt32.max) + 1] {
        let fence = c.bench.fence()
        try c.attach(fence, to: handle, at: point)
        #expect(await c.outcome([handle], points: [point]) == .ETIME)
        #expect(await c.outcome([handle], points: [point + 1]) == .EINVAL)
        fence.signal()
        try #expect(c.table.query([handle]) == [point])
      }
    }
  }

  @Test("syncobj_timeline: wait-any-complex") func anyComplex() throws { try shuffled([]) }
  @Test("syncobj_timeline: wait-all-complex") func allComplex() throws { try shuffled(.all) }
  @Test("syncobj_timeline: wait-for-submit-complex") func submitComplex() throws {
    try shuffled(.forSubmit)
  }
  @Test("syncobj_timeline: wait-all-for-submit-complex") func allSubmitComplex() throws {
    try shuffled([.all, .forSubmit])
  }

  /// Objects are submitted, signalled, reset and submitted again, each at its own pace, while one
  /// waits: what was signalled once counts, whatever becomes of the object.
  private func shuffled(_ flags: SyncWaitFlags) throws {
    try explore(seeds: 0..<60) { bench in
      let c = Client(bench)
      let kernel = bench.kernel
      let count = 4
      var fences = bench.fences(count)
      let isEarly = !flags.contains(.forSubmit)
      let handles = try (0..<count).map { try c.handle(isEarly ? fences[$0] : nil, at: 1) }
      var first: Int?
      let waiter = kernel.spawn("waiter") {
        first = try? await c.table.wait(
          handles, points: Array(repeating: 1, count: count), flags: flags.rawValue,
          timeout: second)
      }
      // An object that was reset before the wait has begun would never be waited out.
      while waiter.waitingFor == nil && !waiter.isFinished { await kernel.sleep(1_000) }
      var stages = Array(repeating: 0, count: count)
      var signaled: [Int] = []
      let wanted = flags.contains(.all) ? count : 1
      while signaled.count < wanted {
        let index = kernel.draw(below: count, "object")
        // Nobody signals what was submitted anew.
        guard stages[index] < 4 else { continue }
        switch stages[index] {
        case 0: if !isEarly { try c.attach(fences[index], to: handles[index], at: 1) }
        case 1:
          fences[index].signal()
          signaled.append(index)
        case 2: try c.table.reset([handles[index]])
        default:
          fences[index] = bench.fence()
          try c.attach(fences[index], to: handles[index], at: 1)
        }
        stages[index] += 1
        try require(first == nil || signaled.count == wanted, "went on after \(signaled)")
        await kernel.sleep(1_000)
      }
      await waiter.join()
      try require(kernel.now < second, "waited for the time-out")
      try require(
        first == (flags.contains(.all) ? 0 : signaled[0]), "\(String(describing: first)) was first")
    }
  }

  @Test(arguments: [1, 2], [false, true])
  func waitsOneAfterTheOther_eachEndInTime(rounds: Int, isAll: Bool) throws {
    try complex(isAll: isAll, rounds: rounds)
  }

  /// Devices submit and signal step by step while one waits, once or again and again.
  private func complex(isAll: Bool, rounds: Int) throws {
    try explore(seeds: 0..<60) { bench in
      let c = Client(bench)
      let kernel = bench.kernel
      let handles = try (0..<4).map { _ in try c.handle() }
      let lines = handles.map { SoftwareTimeline(bench.contexts, "line \($0)") }
      let points = handles.map { _ in UInt64(1 + kernel.draw(below: 6, "point")) }
      let device = kernel.spawn("device") {
        for step in UInt32(1)...6 {
          for (handle, line) in zip(handles, lines) {
            await kernel.point()
            if let fence = try? line.fence(at: step) {
              try? c.attach(fence, to: handle, at: UInt64(step))
            }
          }
          for line in lines {
            await kernel.point()
            line.increment(by: 1)
          }
        }
      }
      let flags: SyncWaitFlags = isAll ? [.all, .forSubmit] : .forSubmit
      for round in 0..<UInt64(rounds) {
        let wanted = points.map { min(6, $0 + round) }
        let error = await c.outcome(
          handles, points: wanted, flags: flags.rawValue, timeout: second)
        try require(error == nil, "round \(round): \(String(describing: error))")
        let done = zip(lines, wanted).map { UInt64($0.value) >= $1 }
        try require(isAll ? !done.contains(false) : done.contains(true), "too early: \(done)")
      }
      await device.join()
    }
  }
}

@Suite("syncobj_eventfd") struct SyncObjectEventTests {
  private func open(_ c: Client) -> (counter: EventCounter, file: Int) {
    let counter = EventCounter(c.bench.kernel)
    return (counter, c.files.open(.eventCounter(counter)))
  }

  @Test("syncobj_eventfd: invalid-bad-flags") func badFlags() throws {
    try client { c in
      let (handle, file) = (try c.handle(), open(c).file)
      #expect(throws: KernelError.EINVAL) { try c.table.notify(handle, at: 1, file, flags: 1) }
    }
  }
  @Test("syncobj_eventfd: invalid-illegal-handle") func illegalHandle() throws {
    try client { c in
      let file = open(c).file
      #expect(throws: KernelError.ENOENT) { try c.table.notify(0x1234, at: 1, file) }
    }
  }
  @Test("syncobj_eventfd: invalid-illegal-eventfd") func illegalEventCounter() throws {
    try client { c in
      let handle = try c.handle()
      let null = c.files.open(.other("/dev/null"))
      #expect(throws: KernelError.EINVAL) { try c.table.notify(handle, at: 1, null) }
      #expect(throws: KernelError.EBADF) { try c.table.notify(handle, at: 1, 99) }
    }
  }
  @Test("syncobj_eventfd: invalid-bad-pad") func badPad() throws {
    try client { c in
      let (handle, file) = (try c.handle(), open(c).file)
      #expect(throws: KernelError.EINVAL) { try c.table.notify(handle, at: 1, file, pad: 1) }
    }
  }

  private enum Order {
    case wait
    case waitBeforeSignal
    case waitSignaled
  }

  @Test("syncobj_eventfd: binary-wait") func binary() throws { try waits(.wait, false) }
  @Test("syncobj_eventfd: timeline-wait") func timeline() throws { try waits(.wait, true) }
  @Test("syncobj_eventfd: binary-wait-before-signal") func binaryBefore() throws {
    try waits(.waitBeforeSignal, false)
  }
  @Test("syncobj_eventfd: timeline-wait-before-signal") func timelineBefore() throws {
    try waits(.waitBeforeSignal, true)
  }
  @Test("syncobj_eventfd: binary-wait-signaled") func binarySignaled() throws {
    try waits(.waitSignaled, false)
  }
  @Test("syncobj_eventfd: timeline-wait-signaled") func timelineSignaled() throws {
    try waits(.waitSignaled, true)
  }

  private func waits(_ order: Order, _ isTimeline: Bool) throws {
    try client { c in
      let point: UInt64 = isTimeline ? 1 : 0
      let fence = c.bench.fence()
      let handle = try c.handle()
      let (counter, file) = open(c)
      let place: UInt64? = isTimeline ? 1 : nil
      if order != .waitBeforeSignal { try c.attach(fence, to: handle, at: place) }
      if order == .waitSignaled { fence.signal() }
      try c.table.notify(handle, at: point, file)
      if order == .waitBeforeSignal {
        #expect(counter.count == 0)
        try c.attach(fence, to: handle, at: place)
      }
      if order != .waitSignaled {
        #expect(counter.count == 0)
        fence.signal()
      }
      #expect(await counter.read(timeout: second) == 1)
      #expect(await counter.read(timeout: 0) == nil)
    }
  }

  @Test("syncobj_eventfd: wait-available") func available() throws {
    try client { c in
      let handle = try c.handle()
      let (counter, file) = open(c)
      try c.table.notify(handle, at: 2, file, flags: SyncWaitFlags.available.rawValue)
      try c.attach(c.bench.fence(), to: handle, at: 1)
      #expect(counter.count == 0)
      try c.attach(c.bench.fence(), to: handle, at: 2)
      #expect(counter.count == 1)
    }
  }
}
