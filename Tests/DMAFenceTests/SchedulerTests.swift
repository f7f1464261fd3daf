import Base
import DMAFence
import KernelRuntime
import Testing

/// The checks of drivers/gpu/drm/scheduler/tests.
@Suite("drm_sched") struct SchedulerTests {
  @Test("drm_sched: basic_submit") func basicSubmit() throws {
    try explore(seeds: 0..<60) { bench in
      let b = SchedulerBench(bench)
      let entity = b.entity()
      let done = try finished(try b.submit(entity, 1))
      let early = await done.wait(timeout: second)
      try require(!early.isSignaled, "done before the timeline moved")
      b.ring.completeNext()
      try require(await done.wait(timeout: second).isSignaled, "not done after the timeline moved")
      await b.end([entity])
      try require(b.ring.freed == [1], "freed \(b.ring.freed)")
    }
  }

  enum Shape: String, CaseIterable {
    case queue = "a queue of jobs in a single entity"
    case chain = "a chain of dependent jobs across multiple entities"
    case many = "multiple independent entities"
    case interdependent = "multiple inter-dependent entities"
  }

  @Test("drm_sched: basic_test", arguments: Shape.allCases) func basic(shape: Shape) throws {
    try explore(seeds: 0..<8) { bench in
      let b = SchedulerBench(bench)
      let count = shape == .queue ? 1 : 4
      let jobs = 100
      let entities = (0..<count).map { _ in b.entity() }
      var last: SchedulerJob?
      var all: [Fence] = []
      for index in 0..<jobs {
        let isDependent =
          shape == .chain || (shape == .interdependent && index % count == 0)
        let before = isDependent ? last?.finished.map { [$0] } ?? [] : []
        let job = try b.submit(
          entities[index % count], UInt64(index), duration: 100_000, after: before)
        last = job
        all.append(try finished(job))
      }
      for (index, fence) in all.enumerated() {
        let ended = await fence.wait(timeout: 10 * second)
        try require(ended.isSignaled && fence.error == nil, "job \(index): \(fence.status)")
      }
      await b.end(entities)
      try require(b.ring.freed.count == jobs, "freed \(b.ring.freed.count) of \(jobs)")
    }
  }

  @Test("drm_sched: entity_cleanup") func entityCleanup() throws {
    try explore(seeds: 0..<40) { bench in
      let b = SchedulerBench(bench)
      let entities = (0..<4).map { _ in b.entity() }
      var all: [Fence] = []
      for index in 0..<40 {
        all.append(
          try finished(try b.submit(entities[index % 4], UInt64(index), duration: 100_000)))
      }
      _ = await all[20].wait(timeout: 10 * second)
      for entity in entities { await entity.kill() }
      for fence in all {
        try require(await fence.wait(timeout: 10 * second).isSignaled, "\(fence) never ended")
        try require(
          fence.error == nil || fence.error == .ESRCH, "\(fence) ended with \(fence.status)")
      }
      await b.end()
      try require(
        b.ring.freed.sorted() == Array(0..<40), "freed \(b.ring.freed.count), some twice or never")
    }
  }

  @Test("drm_sched: basic_cancel") func basicCancel() throws {
    try explore(seeds: 0..<40) { bench in
      let b = SchedulerBench(bench, credits: 8)
      let entity = b.entity()
      let all = try (0..<20).map { try finished(try b.submit(entity, UInt64($0))) }
      await bench.kernel.sleep(millisecond)
      await b.scheduler.teardown()
      for fence in all {
        try require(fence.status == .failed(.ECANCELED), "\(fence): \(fence.status)")
      }
      try require(b.ring.freed.sorted() == Array(0..<20), "freed \(b.ring.freed)")
      try require(b.ring.cancelled.count <= 8, "\(b.ring.cancelled.count) on the ring")
      await entity.kill()
    }
  }

  @Test("drm_sched: parallel_submit") func parallelSubmit() throws {
    try explore(seeds: 0..<20) { bench in
      let b = SchedulerBench(bench)
      var fences: [Fence] = []
      var entities: [SchedulerEntity] = []
      let workers = (0..<16).map { worker in
        bench.kernel.spawn("worker \(worker)") {
          let entity = b.entity()
          entities.append(entity)
          for index in 0..<8 {
            await bench.kernel.point()
            let tag = UInt64(8 * worker + index)
            if let fence = try? b.submit(entity, tag, duration: 10_000).finished {
              fences.append(fence)
            }
          }
        }
      }
      for worker in workers { await worker.join() }
      try require(fences.count == 128, "\(fences.count) jobs")
      for fence in fences {
        try require(await fence.wait(timeout: 10 * second).isSignaled, "\(fence) hangs")
      }
      await b.end(entities)
      try require(b.ring.freed.count == 128, "freed \(b.ring.freed.count)")
    }
  }

  @Test("drm_sched: interleaved_submit") func interleavedSubmit() throws {
    try explore(seeds: 0..<20) { bench in
      let b = SchedulerBench(bench)
      let entities = (0..<16).map { _ in b.entity() }
      var fences: [Fence] = []
      for round in 0..<8 {
        for (index, entity) in entities.enumerated() {
          fences.append(
            try finished(try b.submit(entity, UInt64(16 * round + index), duration: 10_000)))
          await bench.kernel.point()
        }
      }
      for fence in fences {
        try require(await fence.wait(timeout: 10 * second).isSignaled, "\(fence) hangs")
      }
      await b.end(entities)
    }
  }

  @Test("drm_sched: basic_timeout") func basicTimeout() throws {
    try explore(seeds: 0..<40) { bench in
      let b = SchedulerBench(bench, timeout: 250 * millisecond)
      b.ring.onTimeout = { [unowned b] job in
        await b.scheduler.stop(job)
        job.finished?.setError(.ETIMEDOUT)
        b.ring.reset()
        b.scheduler.start()
        return .reset
      }
      let entity = b.entity()
      let done = try finished(try b.submit(entity, 1))
      try require(await done.wait(timeout: second).isSignaled, "the hang was not noticed")
      try require(done.status == .failed(.ETIMEDOUT), "\(done.status)")
      try require(b.ring.timedOutTags == [1], "\(b.ring.timedOutTags)")
      let next = try finished(try b.submit(entity, 2, duration: 1000))
      try require(await next.wait(timeout: second).isSignaled, "no job after the hang")
      await b.end([entity])
      try require(b.ring.freed == [1, 2], "freed \(b.ring.freed)")
    }
  }

  @Test("drm_sched: skip_reset") func skipReset() throws {
    try explore(seeds: 0..<40) { bench in
      let b = SchedulerBench(bench, timeout: 250 * millisecond)
      b.ring.onTimeout = { _ in .stillRunning }
      let entity = b.entity()
      let done = try finished(try b.submit(entity, 1))
      let early = await done.wait(timeout: 300 * millisecond)
      try require(!early.isSignaled, "a slow job was ended")
      try require(b.ring.timedOutTags == [1], "\(b.ring.timedOutTags)")
      b.ring.completeNext()
      try require(await done.wait(timeout: second).isSignaled, "the slow job was lost")
      try require(done.status == .signaled, "\(done.status)")
      await b.end([entity])
      try require(b.ring.freed == [1], "freed \(b.ring.freed)")
    }
  }

  @Test("drm_sched: priorities") func priorities() throws {
    try flow { bench in
      let b = SchedulerBench(bench, credits: 1)
      let blocker = try finished(try b.submit(b.entity(.kernel), 99, duration: millisecond))
      await bench.kernel.yield()
      var entities: [SchedulerEntity] = []
      var fences: [Fence] = []
      for priority in SchedulerPriority.allCases.reversed() {
        let entity = b.entity(priority)
        entities.append(entity)
        for index in 0..<8 {
          let tag = UInt64(priority.rawValue * 10 + index)
          fences.append(try finished(try b.submit(entity, tag, duration: 1000)))
        }
      }
      #expect(await blocker.wait(timeout: second).isSignaled)
      for fence in fences { #expect(await fence.wait(timeout: second).isSignaled) }
      #expect(Array(b.ring.ran.dropFirst()) == b.ring.ran.dropFirst().sorted())
      await b.end(entities)
    }
  }

  @Test("drm_sched: change_priority") func changePriority() throws {
    try explore(seeds: 0..<30) { bench in
      let b = SchedulerBench(bench, credits: 2)
      let entities = (0..<4).map { _ in b.entity() }
      var fences: [Fence] = []
      for index in 0..<64 {
        fences.append(
          try finished(try b.submit(entities[index % 4], UInt64(index), duration: 50_000)))
      }
      for round in 0..<16 {
        let all = SchedulerPriority.allCases
        entities[round % 4].setPriority(all[(round / 4 + round) % all.count])
        await bench.kernel.sleep(60_000)
      }
      for fence in fences {
        try require(await fence.wait(timeout: 10 * second).isSignaled, "\(fence) hangs")
      }
      for entity in entities {
        let own = b.ring.ran.filter { entities[Int($0) % 4] === entity }
        try require(own == own.sorted(), "an entity's jobs ran out of order")
      }
      await b.end(entities)
    }
  }

  @Test("drm_sched: modify_sched") func modifySched() throws {
    try explore(seeds: 0..<20) { bench in
      let benches = (0..<3).map { _ in SchedulerBench(bench) }
      let entities = (0..<13).map { _ in benches[0].entity() }
      var fences: [Fence] = []
      for round in 0..<6 {
        for (index, entity) in entities.enumerated() {
          entity.modify([benches[(round + index) % 3].scheduler])
          let tag = UInt64(round * 100 + index)
          for b in benches { b.ring.durations[tag] = 10_000 }
          let job = try SchedulerJob(entity, tag: tag)
          job.arm()
          fences.append(try finished(job))
          job.push()
          await bench.kernel.point()
        }
        for fence in fences.suffix(13) {
          try require(await fence.wait(timeout: 10 * second).isSignaled, "\(fence) hangs")
        }
      }
      for b in benches { try require(b.ring.ran.count > 10, "\(b.ring.ran.count) jobs on one") }
      for entity in entities { await entity.kill() }
      for b in benches { await b.end() }
    }
  }

  @Test("drm_sched: credits") func credits() throws {
    try explore(seeds: 0..<30) { bench in
      let b = SchedulerBench(bench, credits: 1)
      let entity = b.entity()
      let first = try finished(try b.submit(entity, 1))
      let other = try finished(try b.submit(entity, 2))
      await bench.kernel.sleep(10 * millisecond)
      try require(b.ring.ran == [1], "ran \(b.ring.ran) with one credit")
      b.ring.completeNext()
      try require(await first.wait(timeout: second).isSignaled, "the first hangs")
      await bench.kernel.sleep(10 * millisecond)
      try require(b.ring.ran == [1, 2], "ran \(b.ring.ran) after the first")
      b.ring.completeNext()
      try require(await other.wait(timeout: second).isSignaled, "the second hangs")
      await b.end([entity])
    }
  }

  /// With everything queued before, the ring must never stand still: the time is that of the jobs.
  @Test("drm_sched: overhead_filled_queue") func overheadFilledQueue() throws {
    try flow { bench in
      let b = SchedulerBench(bench, credits: 2)
      let entity = b.entity()
      let fences = try (0..<1000).map {
        try finished(try b.submit(entity, UInt64($0), duration: millisecond))
      }
      let start = bench.kernel.now
      #expect(await fences[999].wait(timeout: 2 * second).isSignaled)
      #expect(bench.kernel.now - start == 1000 * millisecond)
      await b.end([entity])
    }
  }

  @Test("drm_sched: overhead_ping_pong") func overheadPingPong() throws {
    try flow { bench in
      let b = SchedulerBench(bench, credits: 2)
      let entities = [b.entity(), b.entity()]
      let start = bench.kernel.now
      var last: Fence?
      for index in 0..<1000 {
        let job = try b.submit(
          entities[index % 2], UInt64(index), duration: millisecond, after: last.map { [$0] } ?? [])
        last = try finished(job)
      }
      let final = try #require(last)
      #expect(await final.wait(timeout: 2 * second).isSignaled)
      #expect(bench.kernel.now - start == 1000 * millisecond)
      await b.end(entities)
    }
  }
}
