import KernelRuntime
import Testing

@Suite struct WaitQueueTests {
  @Test func wakeAll_letsEveryWaiterTestAgain() throws {
    let kernel = Kernel()
    let queue = WaitQueue(kernel, "q")
    var value = 0
    var done: [Int] = []
    try kernel.run {
      let tasks = (1...3).map { wanted in
        kernel.spawn("w\(wanted)") {
          await queue.wait { value >= wanted }
          done.append(wanted)
        }
      }
      await kernel.yield()
      #expect(queue.hasWaiters)
      value = 2
      queue.wakeAll()
      await kernel.yield()
      #expect(done == [1, 2])
      value = 3
      queue.wakeAll()
      for task in tasks { await task.join() }
    }
    #expect(done == [1, 2, 3])
    #expect(!queue.hasWaiters)
  }

  @Test func timeout_isKeptToTheNanosecond() throws {
    let kernel = Kernel()
    let queue = WaitQueue(kernel, "q")
    try kernel.run {
      #expect(await !queue.wait(timeout: 100, until: { false }))
      #expect(kernel.now == 100)
      #expect(!queue.hasWaiters)
      kernel.after(50, "event") { queue.wakeAll() }
      #expect(await queue.wait(timeout: 100, until: { kernel.now >= 150 }))
      #expect(kernel.now == 150)
      #expect(await queue.wait(timeout: 0, until: { true }))
      #expect(await !queue.wait(timeout: 0, until: { false }))
    }
  }

  @Test func wakeOne_wakesTheOldest() throws {
    let kernel = Kernel()
    let queue = WaitQueue(kernel, "q")
    var log: [String] = []
    var tokens = 0
    try kernel.run {
      for name in ["a", "b"] {
        kernel.spawn(name) {
          await queue.wait { tokens > 0 }
          tokens -= 1
          log.append(name)
        }
      }
      await kernel.yield()
      tokens = 1
      queue.wakeOne()
      await kernel.yield()
      #expect(log == ["a"])
      tokens = 1
      queue.wakeOne()
      await kernel.yield()
    }
    #expect(log == ["a", "b"])
  }

  /// A wake-up that wakeOne gives to a waiter whose limit passes at the same time must not be lost.
  @Test func noWaiter_isLostUnderAnyOrder() throws {
    for seed in UInt64(0)..<500 {
      let kernel = Kernel(choices: RandomWalkChoices(seed: seed))
      let queue = WaitQueue(kernel, "q")
      var flag = false
      var results: [Bool] = []
      let stuck = try kernel.run { () async -> Bool in
        let waiter = kernel.spawn("waiter") {
          results.append(await queue.wait(timeout: 1000, until: { flag }))
        }
        let setter = kernel.spawn("setter") {
          await kernel.sleep(1000)
          flag = true
          queue.wakeAll()
        }
        await waiter.join()
        await setter.join()
        return queue.hasWaiters
      }
      #expect(!stuck && results.count == 1, "seed \(seed)")
    }
  }

  @Test func completion_endsWaitsNowAndLater() throws {
    let kernel = Kernel()
    let done = Completion(kernel, "done")
    var ended = 0
    try kernel.run {
      let early = kernel.spawn("early") {
        await done.wait()
        ended += 1
      }
      await kernel.yield()
      #expect(ended == 0)
      done.complete()
      await done.wait()
      await early.join()
      #expect(ended == 1)
      done.reset()
      #expect(!done.isDone)
    }
  }
}

@Suite struct WorkQueueTests {
  @Test func work_runsInOrderAndOnceWhilePending() throws {
    let kernel = Kernel()
    let queue = WorkQueue(kernel, "wq")
    var log: [String] = []
    try kernel.run {
      let a = Work("a") { log.append("a") }
      let b = Work("b") { log.append("b") }
      #expect(queue.queue(a))
      #expect(!queue.queue(a))
      #expect(queue.queue(b))
      await queue.flush()
      #expect(queue.queue(a))
      await queue.flush(a)
    }
    #expect(log == ["a", "b", "a"])
  }

  @Test func work_mayQueueItselfAgain() throws {
    let kernel = Kernel()
    let queue = WorkQueue(kernel, "wq")
    var runs = 0
    var again: Work?
    let work = Work("again") {
      runs += 1
      if runs < 3, let again { queue.queue(again) }
    }
    again = work
    try kernel.run {
      queue.queue(work)
      await queue.flush()
    }
    again = nil
    #expect(runs == 3)
  }

  @Test func maxActive_boundsTheWorkers() throws {
    let kernel = Kernel()
    let queue = WorkQueue(kernel, "wq", maxActive: 2)
    var running = 0
    var most = 0
    try kernel.run {
      for index in 0..<5 {
        queue.queue(
          Work("w\(index)") {
            running += 1
            most = max(most, running)
            await kernel.sleep(10)
            running -= 1
          })
      }
      await queue.flush()
    }
    #expect(most == 2)
    #expect(kernel.now == 30)
  }

  @Test func cancel_takesPendingWorkAndWaitsForRunning() throws {
    let kernel = Kernel()
    let queue = WorkQueue(kernel, "wq")
    var ended = false
    try kernel.run {
      let slow = Work("slow") {
        await kernel.sleep(100)
        ended = true
      }
      let next = Work("next") { Issue.record("cancelled work ran") }
      queue.queue(slow)
      queue.queue(next)
      await kernel.yield()
      #expect(await queue.cancel(next))
      #expect(await !queue.cancel(slow))
      #expect(ended)
    }
  }

  /// F07: work that is disabled, and not merely cancelled, can't be queued by a late interrupt.
  @Test func disabledWork_cantBeQueuedByALateInterrupt() throws {
    for seed in UInt64(0)..<300 {
      let kernel = Kernel(choices: RandomWalkChoices(seed: seed))
      let queue = WorkQueue(kernel, "wq")
      var isTornDown = false
      var ranLate = false
      try kernel.run {
        let work = Work("uevent") {
          await kernel.point()
          if isTornDown { ranLate = true }
        }
        let irq = kernel.agent("irq") { queue.queue(work) }
        irq.kick()
        irq.kick(after: 100)
        await kernel.point()
        await queue.disable(work)
        isTornDown = true
        await kernel.sleep(200)
        await queue.flush()
        #expect(!work.isPending)
        queue.enable(work)
        #expect(queue.queue(work) && !ranLate, "seed \(seed)")
        isTornDown = false
        await queue.flush()
      }
    }
  }
}

@Suite struct SignalTests {
  @Test func interrupt_isRememberedUntilCleared() throws {
    let kernel = Kernel()
    try kernel.run {
      let task = kernel.spawn("t") { await kernel.sleep(100) }
      await kernel.yield()
      task.interrupt()
      #expect(task.hasSignalPending)
      await task.join()
      // An uninterruptible sleep goes on to its end.
      #expect(kernel.now == 100)
      task.clearSignal()
      #expect(!task.hasSignalPending)
    }
  }
}
