import Base
import KernelRuntime
import NouveauTestKit

/// Small flows with one famous defect each, and the same flows without it.
///
/// They are the kit's own test: a kit that doesn't find these finds nothing.
enum Canary {
  /// Something that tasks share.
  final class Cell<Value> {
    var value: Value
    init(_ value: Value) { self.value = value }
  }

  /// Two classes of locks that may be taken in either order as far as the table knows.
  static let pocket = LockClass(name: "pocket", rank: 900, nests: true)

  /// Two transfers read, give way, and write: one of them is lost.
  static func bank(locked: Bool) -> TaskFlow {
    TaskFlow("bank", notesWhatIsShared: true) { run in
      let kernel = run.kernel
      let balance = Cell(100)
      let lock = SleepingLock(kernel, pocket)
      for (name, amount) in [("deposit", 50), ("withdrawal", -30)] {
        run.task(name) {
          if locked { await lock.lock() }
          await kernel.point()
          kernel.touch(.data(0), writing: false)
          let seen = balance.value
          await kernel.point()
          kernel.touch(.data(0))
          balance.value = seen + amount
          if locked { lock.unlock() }
        }
      }
      run.atEnd {
        run.expect(balance.value == 120, "lost-update", "balance \(balance.value), not 120")
      }
    }
  }

  /// The lost update among tasks that have nothing to do with it.
  static func noisyBank() -> TaskFlow {
    TaskFlow("noisy-bank", points: [allocation]) { run in
      let kernel = run.kernel
      let balance = Cell(0)
      let lock = SleepingLock(kernel, pocket)
      for index in 0..<4 {
        run.task("noise \(index)") {
          for _ in 0..<10 {
            await lock.lock()
            await kernel.point()
            lock.unlock()
            await kernel.sleep(UInt64(index))
          }
        }
      }
      for name in ["deposit", "withdrawal"] {
        run.task(name) { () throws(KernelError) in
          for _ in 0..<5 { await kernel.point() }
          let seen = balance.value
          await kernel.point()
          balance.value = seen + 1
          for _ in 0..<5 { await kernel.point() }
          try run.failures.check(allocation)
        }
      }
      run.atEnd { run.expect(balance.value == 2, "lost-update", "\(balance.value)") }
    }
  }

  /// A consumer looks, gives way, and sleeps until the next wake-up, which may have been the last.
  static func wakeUp(rechecks: Bool) -> TaskFlow {
    TaskFlow("wake-up", notesWhatIsShared: true) { run in
      let kernel = run.kernel
      let isFull = Cell(false)
      let queue = WaitQueue(kernel, "buffer")
      run.task("consumer") {
        kernel.touch(.data(0), writing: false)
        if rechecks {
          await queue.wait {
            kernel.touch(.data(0), writing: false)
            return isFull.value
          }
        } else if !isFull.value {
          await kernel.point()
          var hasSlept = false
          await queue.wait {
            defer { hasSlept = true }
            return hasSlept
          }
        }
      }
      run.task("producer") {
        await kernel.point()
        kernel.touch(.data(0))
        isFull.value = true
        queue.wakeAll()
      }
    }
  }

  /// Two tasks take two locks in opposite orders.
  static func philosophers(ordered: Bool) -> TaskFlow {
    TaskFlow("philosophers", notesWhatIsShared: true) { run in
      let kernel = run.kernel
      let forks = [SleepingLock(kernel, pocket), SleepingLock(kernel, pocket)]
      for (name, first) in [("left", 0), ("right", ordered ? 0 : 1)] {
        run.task(name) {
          await forks[first].lock()
          await forks[1 - first].lock()
          forks[1 - first].unlock()
          forks[first].unlock()
        }
      }
    }
  }

  static let allocation = InjectionPoint.custom(0, "canary.alloc", [.ENOMEM, .EBUSY], "no memory")
  static let mapping = InjectionPoint.custom(1, "canary.map", [.EIO], "no mapping")

  /// Two allocations under a lock; the way out after the second one fails may forget the lock.
  static func unlock(forgets: Bool) -> TaskFlow {
    TaskFlow("unlock", points: [allocation, mapping]) { run in
      let kernel = run.kernel
      let lock = SleepingLock(kernel, pocket)
      run.task("worker") { () throws(KernelError) in
        await lock.lock()
        do throws(KernelError) {
          try run.failures.check(allocation)
          try run.failures.check(mapping)
        } catch {
          lock.unlock()
          throw error
        }
        do throws(KernelError) {
          try run.failures.check(allocation)
        } catch {
          if !forgets { lock.unlock() }
          throw error
        }
        lock.unlock()
      }
    }
  }

  /// Two owners each find a chunk in use, give way, and free it.
  static func doubleFree(atomic: Bool) -> TaskFlow {
    TaskFlow("double-free", notesWhatIsShared: true) { run in
      let kernel = run.kernel
      let isInUse = Cell(true)
      let frees = Cell(0)
      for name in ["owner", "reaper"] {
        run.task(name) {
          await kernel.point()
          kernel.touch(.data(0))
          guard isInUse.value else { return }
          if atomic { isInUse.value = false }
          await kernel.point()
          kernel.touch(.data(0))
          isInUse.value = false
          frees.value += 1
        }
      }
      run.atEnd { run.expect(frees.value == 1, "double-free", "freed \(frees.value) times") }
    }
  }

  /// A buffer of one place with one queue for both sides: `wakeOne` may wake the wrong side.
  ///
  /// SOURCE: the exercise that the Shuttle project uses as its demo; it needs more tasks than
  /// places and is missed by most stress tests.
  static func boundedBuffer(wakesAll: Bool) -> TaskFlow {
    TaskFlow("bounded-buffer") { run in
      let kernel = run.kernel
      let count = Cell(0)
      let queue = WaitQueue(kernel, "buffer")
      func wake() {
        if wakesAll { queue.wakeAll() } else { queue.wakeOne() }
      }
      for index in 0..<2 {
        run.task("producer \(index)") {
          for _ in 0..<2 {
            await queue.wait { count.value < 1 }
            count.value += 1
            wake()
          }
        }
      }
      for index in 0..<2 {
        run.task("consumer \(index)") {
          for _ in 0..<2 {
            await queue.wait { count.value > 0 }
            count.value -= 1
            wake()
          }
        }
      }
    }
  }

  /// A check that goes wrong only when all of a long task runs within one short window of another:
  /// a random walk nearly never does that, a strategy that thinks in preemptions soon does.
  static func window(locked: Bool) -> TaskFlow {
    TaskFlow("window") { run in
      let kernel = run.kernel
      let isOpen = Cell(false)
      let lock = SleepingLock(kernel, pocket)
      run.task("opener") {
        for _ in 0..<10 { await kernel.point() }
        if locked { await lock.lock() }
        isOpen.value = true
        await kernel.point()
        isOpen.value = false
        if locked { lock.unlock() }
        for _ in 0..<10 { await kernel.point() }
      }
      run.task("passer") {
        if locked { await lock.lock() }
        let wasOpen = isOpen.value
        for _ in 0..<25 { await kernel.point() }
        run.expect(!(wasOpen && isOpen.value), "passed-through")
        if locked { lock.unlock() }
      }
    }
  }

  /// A wait with a limit whose answer is taken for the event, although both may have come.
  static func timeOut(looksAgain: Bool) -> TaskFlow {
    TaskFlow("time-out") { run in
      let kernel = run.kernel
      let isDone = Cell(false)
      let queue = WaitQueue(kernel, "completion")
      run.task("waiter") {
        let came = await queue.wait(timeout: 1000) { isDone.value }
        await kernel.point()
        if !came && (!looksAgain || !isDone.value) { run.mark("gave-up") }
        if !came && !looksAgain { run.expect(!isDone.value, "late-event-lost") }
      }
      run.task("device") {
        await kernel.point()
        await kernel.point()
        isDone.value = true
        queue.wakeAll()
      }
    }
  }

  /// Two tasks hold one lock each, try the other, and give both back: for ever, if they keep step.
  static func courteous() -> TaskFlow {
    TaskFlow("courteous") { run in
      let kernel = run.kernel
      let locks = [SleepingLock(kernel, pocket), SleepingLock(kernel, pocket)]
      for (name, own) in [("left", 0), ("right", 1)] {
        run.task(name) {
          while true {
            await locks[own].lock()
            await kernel.yield()
            let hasBoth = locks[1 - own].tryLock()
            await kernel.yield()
            if hasBoth { locks[1 - own].unlock() }
            locks[own].unlock()
            if hasBoth { return }
            await kernel.yield()
          }
        }
      }
    }
  }
}
