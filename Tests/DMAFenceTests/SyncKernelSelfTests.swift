import Base
import DMAFence
import KernelRuntime
import Testing

/// The checks of tools/testing/selftests/sync.
@Suite("kselftest sync") struct SyncKernelSelfTests {
  @Test("kselftest sync: alloc_timeline") func allocTimeline() throws {
    try process { p in _ = try p.files.timeline(p.timeline()) }
  }

  @Test("kselftest sync: alloc_fence") func allocFence() throws {
    try process { p in
      let file = try p.fence(p.timeline(), 1)
      try #expect(p.active(file) == 1)
    }
  }

  @Test("kselftest sync: alloc_fence_negative") func allocFenceNegative() throws {
    try process { p in
      let timeline = p.timeline()
      try p.files.close(timeline)
      #expect(throws: KernelError.EBADF) { _ = try p.fence(timeline, 1) }
      let closed = SoftwareTimeline(p.bench.contexts, "closed")
      closed.close()
      #expect(throws: KernelError.ENOENT) { _ = try closed.fence(at: 1) }
    }
  }

  @Test("kselftest sync: fence_one_timeline_wait") func oneTimelineWait() throws {
    try process { p in
      let timeline = p.timeline()
      let fence = try p.fence(timeline, 5)
      for (step, isDone) in [(1, false), (3, false), (1, true), (10, true)] {
        try p.increment(timeline, UInt32(step))
        let ended = try await p.wait(fence, 0)
        #expect(ended == isDone)
      }
      let old = try p.fence(timeline, 2)
      let ended = try await p.wait(old, 0)
      #expect(ended)
    }
  }

  @Test("kselftest sync: fence_one_timeline_merge") func oneTimelineMerge() throws {
    try process { p in
      let timeline = p.timeline()
      let points = try (1...3).map { try p.fence(timeline, UInt32($0)) }
      let merged = try p.merge(try p.merge(points[1], points[0]), points[2])
      for index in 0..<3 {
        try #expect(p.active(points[index]) == 1)
        try p.increment(timeline, 1)
        try #expect(p.signaled(points[index]) == 1)
        try #expect(p.active(merged) == (index == 2 ? 0 : 1))
      }
    }
  }

  @Test("kselftest sync: fence_merge_same_fence") func mergeSame() throws {
    try process { p in
      let timeline = p.timeline()
      let fence = try p.fence(timeline, 5)
      let merged = try p.merge(fence, fence)
      try p.increment(timeline, 5)
      let ended = try await p.wait(merged, 0)
      #expect(ended)
      try #expect(p.signaled(merged) == 1)
    }
  }

  @Test("kselftest sync: fence_multi_timeline_wait") func multiTimelineWait() throws {
    try process { p in
      let lines = (0..<3).map { _ in p.timeline() }
      let points = try lines.map { try p.fence($0, 5) }
      let merged = try p.merge(try p.merge(points[0], points[1]), points[2])
      let early = try await p.wait(merged, 0)
      #expect(!early)
      for (index, line) in lines.enumerated() {
        try p.increment(line, 5)
        try #expect(p.active(merged) == 2 - index)
        try #expect(p.signaled(merged) == index + 1)
      }
      let ended = try await p.wait(merged, 100)
      #expect(ended)
    }
  }

  @Test("kselftest sync: stress_two_threads_shared_timeline") func twoThreads() throws {
    try explore(seeds: 0..<40) { bench in
      let kernel = bench.kernel
      let line = SoftwareTimeline(bench.contexts, "shared")
      let rounds = 16
      var counter = 0
      var broken: String?
      let tasks = (0..<2).map { thread in
        kernel.spawn("thread \(thread)") {
          for round in 0..<rounds {
            let turn = UInt32(2 * round + thread)
            guard let fence = try? line.fence(at: turn) else { return }
            _ = await fence.wait()
            if counter != Int(turn) { broken = "turn \(turn) found \(counter)" }
            counter += 1
            line.increment(by: 1)
          }
        }
      }
      for task in tasks { await task.join() }
      try require(broken == nil && counter == 2 * rounds, broken ?? "\(counter)")
    }
  }

  @Test("kselftest sync: consumer_stress_multi_producer_single_consumer")
  func multiProducerSingleConsumer() throws {
    try explore(seeds: 0..<20) { bench in
      let kernel = bench.kernel
      let lines = (0..<5).map { SoftwareTimeline(bench.contexts, "p\($0)") }
      var total = 0
      let tasks = lines.map { line in
        kernel.spawn(line.name) {
          for _ in 0..<8 {
            await kernel.point()
            total += 1
            line.increment(by: 1)
          }
        }
      }
      for round in 1...8 {
        let fences = try lines.map { try $0.fence(at: UInt32(round)) }
        let merged = Fence.merge(fences, in: bench.contexts)
        try require(await merged.wait(timeout: 1_000_000_000).isSignaled, "round \(round)")
        try require(total >= 5 * round, "\(total) in round \(round)")
      }
      for task in tasks { await task.join() }
    }
  }

  @Test("kselftest sync: merge_stress_random_merge", arguments: [UInt64(1), 7, 42])
  func randomMerge(seed: UInt64) throws {
    try process { p in
      var random = SplitMix64(seed: seed)
      let lines = (0..<32).map { SoftwareTimeline(p.bench.contexts, "line \($0)") }
      var points = [UInt32](repeating: 0, count: 32)
      var file = SyncFile(p.bench.contexts, p.bench.contexts.stub)
      for _ in 0..<1024 {
        let line = random.below(32)
        let point = UInt32(1 + random.below(5000))
        points[line] = max(points[line], point)
        file = file.merge("m", with: SyncFile(p.bench.contexts, try lines[line].fence(at: point)))
      }
      #expect(file.count(status: 0) == points.count { $0 > 0 })
      for (line, point) in zip(lines, points) { line.increment(by: point) }
      #expect(await file.wait(timeout: 0).isSignaled)
    }
  }
}
