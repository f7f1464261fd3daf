import Base
import DMAFence
import KernelRuntime
import Testing

/// A process with open timelines and sync files, as the checks of sw_sync use them.
final class Process {
  let bench: Bench
  let files: SyncDescriptors

  init(_ bench: Bench, _ files: SyncDescriptors = SyncDescriptors()) {
    self.bench = bench
    self.files = files
  }

  func timeline(_ name: String = "test") -> Int {
    files.open(.timeline(SoftwareTimeline(bench.contexts, name)))
  }
  func fence(_ timeline: Int, _ point: UInt32) throws(KernelError) -> Int {
    let fence = try files.timeline(timeline).fence(at: point)
    return files.open(.syncFile(SyncFile(bench.contexts, fence)))
  }
  func increment(_ timeline: Int, _ count: UInt32) throws(KernelError) {
    try files.timeline(timeline).increment(by: count)
  }
  func merge(_ a: Int, _ b: Int) throws(KernelError) -> Int {
    try files.merge(a, b, name: "merged")
  }
  func wait(_ file: Int, _ timeout: UInt64) async throws(KernelError) -> Bool {
    await (try files.syncFile(file)).wait(timeout: timeout).isSignaled
  }
  func count(_ file: Int, _ status: Int32) throws(KernelError) -> Int {
    try files.syncFile(file).count(status: status)
  }
  func active(_ file: Int) throws(KernelError) -> Int { try count(file, 0) }
  func signaled(_ file: Int) throws(KernelError) -> Int { try count(file, 1) }
  func closeTimeline(_ timeline: Int) throws(KernelError) {
    try files.timeline(timeline).close()
    try files.close(timeline)
  }
}

func process(_ body: @escaping (Process) async throws -> Void) throws {
  try flow { try await body(Process($0)) }
}

/// The checks of IGT's sw_sync and of tools/testing/selftests/sync.
@Suite("sw_sync") struct SoftwareTimelineTests {
  @Test("sw_sync: alloc_timeline") func allocTimeline() throws {
    try process { p in
      let timeline = p.timeline()
      _ = try p.files.timeline(timeline)
      try p.closeTimeline(timeline)
      #expect(throws: KernelError.EBADF) { try p.files.timeline(timeline) }
    }
  }

  @Test("sw_sync: alloc_fence") func allocFence() throws {
    try process { p in
      let timeline = p.timeline()
      let fence = try p.fence(timeline, 1)
      #expect(fence != timeline)
      let info = try p.files.syncFile(fence).info()
      #expect(info.fences.first?.driverName == "sw_sync")
      #expect(info.fences.first?.timelineName == "test")
      #expect(info.name.hasPrefix("sw_sync-test"))
    }
  }

  @Test("sw_sync: alloc_fence_invalid_timeline") func allocFenceInvalidTimeline() throws {
    try process { p in
      #expect(throws: KernelError.EBADF) { _ = try p.fence(-1, 0) }
    }
  }

  @Test("sw_sync: timeline_closed") func timelineClosed() throws {
    try process { p in
      let timeline = p.timeline()
      let fence = try p.fence(timeline, 1)
      try p.closeTimeline(timeline)
      let ended = try await p.wait(fence, 0)
      #expect(ended)
      try #expect(p.count(fence, -2) == 1)
    }
  }

  @Test("sw_sync: timeline_closed_signaled") func timelineClosedSignaled() throws {
    try process { p in
      let timeline = p.timeline()
      let fence = try p.fence(timeline, 1)
      try p.increment(timeline, 1)
      try #expect(p.signaled(fence) == 1)
      try p.closeTimeline(timeline)
      try #expect(p.signaled(fence) == 1)
    }
  }

  @Test("sw_sync: alloc_merge_fence") func allocMergeFence() throws {
    try process { p in
      let timelines = [p.timeline(), p.timeline()]
      let fences = [try p.fence(timelines[0], 1), try p.fence(timelines[1], 1)]
      let merged = try p.merge(fences[0], fences[1])
      let info = try p.files.syncFile(merged).info()
      #expect(info.fences.count == 2)
      #expect(info.name == "merged")
    }
  }

  private func busy(_ p: Process, count: () throws -> Void) async throws {
    let timeline = p.timeline()
    let fence = try p.fence(timeline, 5)
    for (step, isDone) in [(0, false), (1, false), (3, false), (1, true), (5, true)] {
      try p.increment(timeline, UInt32(step))
      let ended = try await p.wait(fence, 0)
      #expect(ended == isDone, "after a step of \(step)")
    }
    // Prime steps against growing points.
    var value: UInt32 = 10
    for prime: UInt32 in [3, 7, 27, 31, 41, 59, 73, 97] {
      let far = try p.fence(timeline, value + prime)
      for _ in 0..<prime {
        let early = try await p.wait(far, 0)
        #expect(!early)
        try p.increment(timeline, 1)
      }
      let ended = try await p.wait(far, 0)
      #expect(ended)
      value += prime
    }
    try count()
  }

  @Test("sw_sync: sync_busy") func syncBusy() throws {
    try process { p in try await busy(p) {} }
  }

  @Test("sw_sync: sync_busy_fork") func syncBusyFork() throws {
    try explore(seeds: 0..<60) { bench in
      let parent = Process(bench)
      let timeline = parent.timeline()
      let fence = try parent.fence(timeline, 1)
      let child = Process(bench, parent.files.fork())
      var childDone = false
      let task = bench.kernel.spawn("child") {
        do throws(KernelError) {
          await bench.kernel.sleep(1000)
          try child.increment(timeline, 1)
          childDone = true
        } catch {
          Issue.record("\(error)")
        }
      }
      try require(try await parent.wait(fence, 1_000_000_000), "the parent timed out")
      try require(childDone, "done before the child counted")
      await task.join()
    }
  }

  @Test("sw_sync: sync_busy_fork_unixsocket") func syncBusyForkUnixSocket() throws {
    try explore(seeds: 0..<60) { bench in
      let one = Process(bench)
      let other = Process(bench)
      let timeline = one.timeline()
      let fence = try one.fence(timeline, 1)
      // The timeline's object goes through the socket; the number on the other side is its own.
      let sent = try one.files.file(timeline)
      let task = bench.kernel.spawn("other process") {
        _ = other.files.open(.other("socket"))
        let received = other.files.open(sent)
        await bench.kernel.point()
        do throws(KernelError) { try other.increment(received, 1) } catch {
          Issue.record("\(error)")
        }
      }
      try require(try await one.wait(fence, 1_000_000_000), "the first process timed out")
      await task.join()
    }
  }

  @Test("sw_sync: sync_merge_invalid") func syncMergeInvalid() throws {
    try process { p in
      let timeline = p.timeline()
      let fence = try p.fence(timeline, 1)
      #expect(throws: KernelError.ENOENT) { _ = try p.merge(fence, -1) }
      let device = p.files.open(.other("/dev/dri/card0"))
      #expect(throws: KernelError.ENOENT) { _ = try p.merge(fence, device) }
      let plain = p.files.open(.other("/tmp/file"))
      #expect(throws: KernelError.ENOENT) { _ = try p.merge(fence, plain) }
      #expect(throws: KernelError.ENOENT) { _ = try p.merge(fence, timeline) }
      #expect(throws: KernelError.EINVAL) {
        _ = try p.files.merge(fence, fence, name: "x", flags: 1)
      }
      #expect(throws: KernelError.EINVAL) {
        _ = try p.files.merge(fence, fence, name: "x", pad: 1)
      }
    }
  }

  @Test("sw_sync: sync_merge") func syncMerge() throws {
    try process { p in
      let timeline = p.timeline()
      let points = try (1...3).map { try p.fence(timeline, UInt32($0)) }
      let merged = try p.merge(try p.merge(points[0], points[1]), points[2])
      for step in 0..<3 {
        try #expect(p.active(merged) == 1)
        let early = try await p.wait(merged, 0)
        #expect(!early, "after \(step) steps")
        try p.increment(timeline, 1)
      }
      try #expect(p.signaled(merged) == 1)
    }
  }

  @Test("sw_sync: sync_merge_same") func syncMergeSame() throws {
    try process { p in
      let timeline = p.timeline()
      let fence = try p.fence(timeline, 1)
      let merged = try p.merge(fence, fence)
      try #expect(p.active(merged) == 1)
      try p.increment(timeline, 1)
      try #expect(p.signaled(merged) == 1)
    }
  }

  @Test("sw_sync: sync_multi_timeline_wait") func syncMultiTimelineWait() throws {
    try process { p in
      let timelines = (0..<3).map { _ in p.timeline() }
      let points = try zip(timelines, [5, 5, 5]).map { try p.fence($0, UInt32($1)) }
      let merged = try p.merge(try p.merge(points[0], points[1]), points[2])
      for (index, timeline) in timelines.enumerated() {
        try #expect(p.active(merged) == 3 - index)
        let early = try await p.wait(merged, 0)
        #expect(!early)
        try p.increment(timeline, 5)
        try #expect(p.signaled(merged) == index + 1)
      }
      try #expect(p.active(merged) == 0)
      let ended = try await p.wait(merged, 100)
      #expect(ended)
    }
  }

  /// Eight consumers wait for their points of one line while it is counted up.
  private func consumers(
    seeds: Range<UInt64>, steps: Int, producer: Bool
  ) throws {
    try explore(seeds: seeds) { bench in
      let kernel = bench.kernel
      let line = SoftwareTimeline(bench.contexts, "shared")
      var broken: String?
      let threads = 8
      let tasks = (0..<threads).map { thread in
        kernel.spawn("consumer \(thread)") {
          var step = thread
          while step < steps && broken == nil {
            let point = UInt32(step + 1)
            do throws(KernelError) {
              let fence = try line.fence(at: point)
              let ended = await fence.wait(timeout: 1_000_000_000)
              if !ended.isSignaled || line.value < point { broken = "point \(point): \(ended)" }
            } catch {
              broken = "point \(point): \(error)"
            }
            if producer { line.increment(by: 1) }
            step += threads
          }
        }
      }
      if producer {
        // Each consumer counts for the next; the first point is nobody's.
        line.increment(by: 1)
      } else {
        for _ in 0..<steps {
          line.increment(by: 1)
          await kernel.yield()
        }
      }
      for task in tasks { await task.join() }
      try require(broken == nil, broken ?? "")
    }
  }

  @Test("sw_sync: sync_multi_consumer") func syncMultiConsumer() throws {
    try consumers(seeds: 0..<1, steps: 4096, producer: false)
    try consumers(seeds: 1..<20, steps: 64, producer: false)
  }

  @Test("sw_sync: sync_multi_consumer_producer") func syncMultiConsumerProducer() throws {
    try consumers(seeds: 0..<40, steps: 64, producer: true)
  }

  @Test("sw_sync: sync_multi_producer_single_consumer") func multiProducer() throws {
    try explore(seeds: 0..<20) { bench in
      let kernel = bench.kernel
      let iterations = 16
      let lines = (0..<5).map { SoftwareTimeline(bench.contexts, "producer \($0)") }
      let consumer = SoftwareTimeline(bench.contexts, "consumer")
      var produced = 0
      let tasks = lines.map { line in
        kernel.spawn(line.name) {
          for iteration in 0..<iterations {
            if let go = try? consumer.fence(at: UInt32(iteration)) { _ = await go.wait() }
            await kernel.point()
            produced += 1
            line.increment(by: 1)
          }
        }
      }
      for iteration in 1...iterations {
        var merged = SyncFile(bench.contexts, try lines[0].fence(at: UInt32(iteration)))
        for line in lines.dropFirst() {
          merged = merged.merge(
            "all", with: SyncFile(bench.contexts, try line.fence(at: UInt32(iteration))))
        }
        try require(await merged.wait(timeout: 1_000_000_000).isSignaled, "round \(iteration)")
        try require(produced == 5 * iteration, "\(produced) products in round \(iteration)")
        consumer.increment(by: 1)
      }
      for task in tasks { await task.join() }
    }
  }

  @Test("sw_sync: sync_expired_merge") func expiredMerge() throws {
    try process { p in
      let timeline = p.timeline()
      try p.increment(timeline, 100)
      let one = try p.fence(timeline, 1)
      let ended = try await p.wait(one, 0)
      #expect(ended)
      let both = try p.merge(one, try p.fence(timeline, 2))
      let mergedEnded = try await p.wait(both, 0)
      #expect(mergedEnded)
      try #expect(p.active(both) == 0)
    }
  }

  @Test("sw_sync: sync_random_merge") func randomMerge() throws {
    try process { p in
      var random = SplitMix64(seed: 2026)
      let lines = (0..<32).map { _ in p.timeline() }
      var reference = [UInt32](repeating: 0, count: 32)
      reference[0] = 1
      var merged = try p.fence(lines[0], 1)
      for _ in 0..<1024 {
        let line = random.below(32)
        let point = UInt32(1 + random.below(1 << 20))
        reference[line] = max(reference[line], point)
        let next = try p.merge(merged, try p.fence(lines[line], point))
        try p.files.close(merged)
        merged = next
      }
      let open = reference.count { $0 > 0 }
      try #expect(p.active(merged) == open)
      var left = open
      for (line, point) in zip(lines, reference) where point > 0 {
        let early = try await p.wait(merged, 0)
        #expect(!early)
        try p.increment(line, point)
        left -= 1
        try #expect(p.active(merged) == left)
      }
      let ended = try await p.wait(merged, 0)
      #expect(ended)
    }
  }

  /// D03, D04: fences go while the line counts, by other tasks and by callbacks.
  @Test func fencesThatGoWhileTheLineCounts_doNoHarm() throws {
    try explore(seeds: 0..<100) { bench in
      let line = SoftwareTimeline(bench.contexts, "line")
      var held: [Fence?] = try (1...6).map { try line.fence(at: UInt32($0)) }
      // Out of the array before it goes: its callbacks run then, and change the array.
      func drop(_ index: Int) {
        let fence = held[index]
        held[index] = nil
        withExtendedLifetime(fence) {}
      }
      for (index, fence) in held.enumerated() {
        fence?.addCallback { _ in
          drop(index)
          drop((index + 1) % 6)
        }
      }
      let dropper = bench.kernel.spawn("dropper") {
        for _ in 0..<3 {
          await bench.kernel.point()
          drop(bench.kernel.draw(below: 6, "drop"))
        }
      }
      for _ in 0..<6 {
        await bench.kernel.point()
        line.increment(by: 1)
      }
      await dropper.join()
      try require(line.pendingCount == 0, "\(line.pendingCount) open points left")
    }
  }

  @Test func numbers_wrapAndNoPointIsJumpedOver() throws {
    try process { p in
      let line = SoftwareTimeline(p.bench.contexts, "line")
      line.increment(by: 0xffff_fff0)
      #expect(line.value == 0xffff_fff0)
      let past = try line.fence(at: 0xffff_ffef)
      #expect(past.isSignaled)
      let beyond = try line.fence(at: 5)
      #expect(!beyond.isSignaled)
      try #expect(line.fence(at: 5) === beyond)
      line.increment(by: 0x14)
      #expect(!beyond.isSignaled)
      line.increment(by: 1)
      #expect(beyond.isSignaled)
      // A step above half the range reaches a point near its end.
      let far = try line.fence(at: 5 &+ 0x7fff_ffff)
      line.increment(by: 0xffff_ffff)
      #expect(far.isSignaled)
      far.setDeadline(5)
      beyond.setDeadline(5)
      #expect(line.deadline == nil)
      let open = try line.fence(at: line.value + 1)
      open.setDeadline(9)
      #expect(line.deadline == 9)
    }
  }
}
