import Base
import DMAFence
import KernelRuntime
import Testing

@Suite struct ContainerTests {
  /// D06: the last reference to a long chain goes.
  @Test func chainOfAHundredThousand_isLetGoWithoutRecursion() throws {
    weak var first: FenceChain?
    do {
      let bench = Bench()
      var head: FenceChain?
      for (index, fence) in bench.fences(100_000).enumerated() {
        head = FenceChain(bench.contexts, after: head, fence, seqno: UInt64(index + 1))
        if index == 0 { first = head }
      }
      #expect(head?.linkCount == 100_000)
      head = nil
    }
    #expect(first == nil)
  }

  @Test func signalledLinks_areSweptOutWhilePointsAreAdded() {
    let run = FenceMeasurements.longTimeline(points: 20_000, window: 100)
    #expect(run.mostLinks <= 2 * run.window + 64)
  }

  /// The index must answer as a plain walk over the points does, whatever is signalled, dropped or
  /// branched off.
  @Test func point_agreesWithAPlainWalk() throws {
    for seed in UInt64(0)..<60 {
      let bench = Bench()
      var random = SplitMix64(seed: seed)
      var heads: [FenceChain] = []
      var model: [ObjectIdentifier: [FenceChain]] = [:]
      var number: UInt64 = 0
      for _ in 0..<150 {
        // Mostly on top; sometimes beside, which branches.
        let parent = random.chance(9, in: 10) ? heads.last : heads.randomElement(using: &random)
        number += UInt64(1 + random.below(3))
        let link = FenceChain(bench.contexts, after: parent, bench.fence(), seqno: number)
        model[ObjectIdentifier(link)] =
          (parent.flatMap { model[ObjectIdentifier($0)] } ?? []) + [link]
        heads.append(link)
        if random.chance(1, in: 2) { heads[random.below(heads.count)].contained.signal() }
        let head = heads[random.below(heads.count)]
        let line = model[ObjectIdentifier(head)] ?? []
        let asked = UInt64(1 + random.below(Int(number)))
        guard asked <= head.seqno else { continue }
        // Plainly: from the head down, over pending links only, to the first whose point before is
        // below the one asked for.
        var expected: FenceChain? = head
        var rest = line.dropLast()
        while let here = expected, here.previousSeqno >= asked {
          expected = rest.last { !$0.contained.isSignaledFlag }
          rest = expected.map { found in rest.prefix { $0 !== found } } ?? []
        }
        let found = try head.point(asked)
        #expect(found === expected, "seed \(seed), point \(asked) from \(head)")
      }
    }
  }

  /// As above for one line whose links nobody else holds: signalled ones really go.
  @Test func point_isFoundAmongGapsThatWalksLeave() throws {
    for seed in UInt64(0)..<100 {
      let bench = Bench()
      var random = SplitMix64(seed: seed)
      var line: [(seqno: UInt64, before: UInt64, fence: Fence)] = []
      var head: FenceChain?
      var number: UInt64 = 0
      for _ in 0..<200 {
        let before = number
        number += UInt64(1 + random.below(3))
        let fence = bench.fence()
        head = FenceChain(bench.contexts, after: head, fence, seqno: number)
        line.append((number, before, fence))
        if random.chance(2, in: 3) { line[random.below(line.count)].fence.signal() }
        if random.chance(1, in: 3) { walkAll(head) }
        // The head goes now and then, and the line goes on from the link below.
        if random.chance(1, in: 10), let below = head?.walk() as? FenceChain {
          head = below
          line.removeAll { $0.seqno > below.seqno }
          number = below.seqno
        }
        let asked = UInt64(1 + random.below(Int(number)))
        let top = try #require(head)
        let expected =
          line.last.flatMap { $0.before < asked ? $0.seqno : nil }
          ?? line.dropLast().last { $0.before < asked && !$0.fence.isSignaledFlag }?.seqno
        try #expect(top.point(asked)?.seqno == expected, "seed \(seed), point \(asked)")
      }
    }
  }

  private func walkAll(_ head: FenceChain?) {
    var link = head
    while let below = link?.walk() as? FenceChain { link = below }
  }

  @Test func lowerNumber_beginsANewContext() throws {
    let bench = Bench()
    let first = FenceChain(bench.contexts, after: nil, bench.fence(), seqno: 5)
    let second = FenceChain(bench.contexts, after: first, bench.fence(), seqno: 3)
    #expect(second.context != first.context)
    #expect(second.seqno == 5)
    #expect(second.previousSeqno == 0)
  }

  @Test func chainOverPlainFence_waitsForIt() throws {
    try flow { bench in
      let start = bench.fence()
      let point = bench.fence()
      let chain = FenceChain(bench.contexts, after: start, point, seqno: 1)
      point.signal()
      #expect(!chain.isSignaled)
      #expect(chain.walk() === start)
      bench.kernel.after(10, "start") { start.signal() }
      #expect(await chain.wait(timeout: second).isSignaled)
    }
  }

  /// D11: the error of a member is the array's, in every order and by callback or peek.
  @Test(arguments: [false, true]) func memberError_isTheArrays(peeks: Bool) throws {
    try explore { bench in
      let fences = bench.fences(3)
      let array = FenceArray(bench.contexts, fences)
      if !peeks { array.enableSignaling() }
      let failing = bench.kernel.draw(below: 3, "failing")
      fences[failing].setError(.EIO)
      var order = [0, 1, 2]
      order.swapAt(0, bench.kernel.draw(below: 3, "order"))
      for index in order {
        fences[index].signal()
        await bench.kernel.point()
      }
      try require(array.isSignaled, "pending")
      try require(array.status == .failed(.EIO), "\(array.status)")
    }
  }

  @Test func arrayOfAny_isSignalledByTheFirst() throws {
    try flow { bench in
      for enables in [false, true] {
        let fences = bench.fences(3)
        let array = FenceArray(bench.contexts, fences, signalsOnAny: true)
        if enables { array.enableSignaling() }
        #expect(!array.isSignaled)
        fences[1].signal()
        #expect(array.isSignaled)
        #expect(await array.wait().isSignaled)
        fences[0].signal()
        fences[2].signal()
      }
      let context = bench.contexts.allocate()
      let same = FenceArray(
        bench.contexts, [bench.fence(1, context: context), bench.fence(2, context: context)])
      #expect(same.isOf(context: context))
      #expect(!same.isOf(context: context + 1))
    }
  }

  @Test func merge_keepsTheLatestOfEachContextAndDropsSignalledOnes() throws {
    let bench = Bench()
    let context = bench.contexts.allocate()
    let early = bench.fence(1, context: context)
    let late = bench.fence(0x1_0000_0002, context: context)
    #expect(Fence.merge([late, early], in: bench.contexts) === late)
    #expect(Fence.merge([early, early], in: bench.contexts) === early)
    late.signal(at: 70)
    early.signal(at: 30)
    let done = Fence.merge([early, late], in: bench.contexts)
    #expect(done.isSignaled)
    #expect(done.timestamp == 70)
    #expect(Fence.merge([], in: bench.contexts).isSignaled)
  }

  @Test func mergeOfTenThousand_keepsAll() {
    let (kernel, merge) = FenceMeasurements.merge(10_000)
    #expect(merge() == 10_000)
    #expect(kernel.now == 0)
  }

  @Test func measurements_countWhatTheyDo() throws {
    #expect(FenceMeasurements.signalAlone(100) == 100)
    #expect(FenceMeasurements.signalWithCallback(100) == 100)
    try #expect(FenceMeasurements.waitAndWake(100, mode: .simulated) == 100)
    try #expect(FenceMeasurements.waitAndWake(100, mode: .realTime) == 100)
    let timeline = FenceMeasurements.openTimeline(points: 1000)
    #expect(FenceMeasurements.search(timeline.head, points: 1000, count: 500) == 500)
    #expect(timeline.kernel.now == 0)
  }
}

@Suite struct ReservationTests {
  private func locked(
    _ object: Reservation, _ body: () throws(KernelError) -> Void
  ) async throws(KernelError) {
    try await object.lock.withLock { () throws(KernelError) in try body() }
  }

  /// F11, R95: the writer is waited for although a reader has finished.
  @Test func write_isWaitedForBesideAFinishedRead() throws {
    try flow { bench in
      let object = Reservation(bench.contexts)
      let write = bench.fence()
      let read = bench.fence()
      try await locked(object) { () throws(KernelError) in
        try object.reserve(2)
        object.add(write, .write)
        object.add(read, .read)
      }
      read.signal()
      #expect(!object.isSignaled(.read))
      try #expect(await object.wait(.read, timeout: 1000) == .timedOut)
      bench.kernel.after(10, "write") { write.signal() }
      try #expect(await object.wait(.read, timeout: 1000) == .signaled(remaining: 990))
      #expect(object.singleton(.bookkeep) == nil)
    }
  }

  @Test func addedFence_takesTheSlotOfWhatItSupersedes() throws {
    try flow { bench in
      let object = Reservation(bench.contexts)
      let context = bench.contexts.allocate()
      let (one, two) = (bench.fence(1, context: context), bench.fence(2, context: context))
      try await locked(object) { () throws(KernelError) in
        try object.reserve(1)
        object.add(one, .read)
        object.add(two, .read)
      }
      #expect(object.fences(.bookkeep).map(\.seqno) == [2])
      let preempt = bench.fence()
      try await locked(object) { () throws(KernelError) in
        object.replace(context: context, with: preempt, .bookkeep)
      }
      #expect(object.fences(.read).isEmpty)
      #expect(object.fences(.bookkeep).first === preempt)
    }
  }

  @Test func failedReserve_leavesTheSetAlone() throws {
    try flow { bench in
      let object = Reservation(bench.contexts)
      bench.kernel.failures.arm(.userCopyAlloc, .nth(2))
      let fence = bench.fence()
      try await locked(object) { () throws(KernelError) in
        try object.reserve(1)
        object.add(fence, .kernel)
      }
      await #expect(throws: KernelError.ENOMEM) {
        try await locked(object) { () throws(KernelError) in try object.reserve(1) }
      }
      #expect(object.fences(.kernel).count == 1)
      await #expect(throws: KernelError.EINVAL) {
        try await locked(object) { () throws(KernelError) in try object.reserve(0) }
      }
      let copy = Reservation(bench.contexts)
      try await locked(copy) { () throws(KernelError) in copy.copyFences(from: object) }
      #expect(copy.singleton(.kernel) === fence)
      copy.setDeadline(.kernel, 99)
      #expect(bench.driver.deadlines == [99])
    }
  }

  @Test func cursor_seesAConsistentSetUnderChanges() throws {
    try explore { bench in
      let kernel = bench.kernel
      let object = Reservation(bench.contexts)
      var live: [Fence] = []
      let writer = kernel.spawn("writer") {
        for _ in 0..<6 {
          let fence = bench.fence()
          try? await locked(object) { () throws(KernelError) in
            try object.reserve(1)
            object.add(fence, .write)
          }
          live.append(fence)
          await kernel.point()
          if kernel.draw(below: 2, "signal") == 1 { live.removeFirst().signal() }
        }
      }
      for _ in 0..<4 {
        var cursor = object.cursor(.write)
        var seen: [Fence] = []
        while let fence = cursor.next() {
          if cursor.isRestarted { seen = [] }
          seen.append(fence)
          await kernel.point()
        }
        let distinct = Set(seen.map { ObjectIdentifier($0) }).count
        try require(distinct == seen.count, "a fence was seen twice in one round")
      }
      await writer.join()
      let found = object.fences(.write)
      let all = live.allSatisfy { fence in found.contains { $0 === fence } }
      try require(all, "a pending fence is missing")
    }
  }

  @Test func misuse_traps() async {
    await #expect(processExitsWith: .failure) {
      let bench = Bench()
      Reservation(bench.contexts).add(bench.fence(), .read)
    }
    await #expect(processExitsWith: .failure) {
      try flow { bench in
        let object = Reservation(bench.contexts)
        await object.lock.lock()
        object.add(bench.fence(), .read)
      }
    }
  }
}
