import Base
import DMAFence
import KernelRuntime
import NouveauTestKit

// Races of chains, reservation objects, sync objects and software timelines.
extension Race {
  /// Points signalled in either order, one added meanwhile, and somebody who waits for the second.
  static let chain = Race("chain", ends: ["point 2 done, 1 signalled", "head 2", "head 3"]) {
    run, bench in
    let inner = bench.fences(3)
    let first = FenceChain(bench.contexts, after: nil, inner[0], seqno: 1)
    let head = Shared(
      run.kernel, 1, FenceChain(bench.contexts, after: first, inner[1], seqno: 2))
    run.task("wait for 2") { () async throws(KernelError) in
      let top = head.value
      run.mark("head \(top.seqno)")
      if let fence = try top.point(2) { _ = await fence.wait() }
      run.mark("point 2 done, \(inner[0].isSignaledFlag ? "1 signalled" : "1 pending")")
    }
    for index in 0..<2 {
      run.task("signal \(index + 1)") {
        await run.kernel.point()
        inner[index].signal()
      }
    }
    run.task("add 3") {
      await run.kernel.point()
      head.value = FenceChain(bench.contexts, after: head.value, inner[2], seqno: 3)
      inner[2].signal()
    }
  }

  /// A reader without the lock, against a writer that adds and one that signals.
  static let reservation = Race(
    "reservation", ends: ["[]", "[0]", "[0, 1]", "[1]"]
  ) { run, bench in
    let object = Reservation(bench.contexts)
    let fences = bench.fences(2)
    run.task("writer") { () async throws(KernelError) in
      for fence in fences {
        await object.lock.lock()
        defer { object.lock.unlock() }
        try object.reserve(1)
        object.add(fence, .write)
      }
    }
    run.task("signal 0") {
      await run.kernel.point()
      fences[0].signal()
    }
    run.task("reader") {
      var seen: [Int] = []
      var cursor = object.cursor(.bookkeep)
      repeat {
        await run.kernel.point()
        let fence = cursor.next()
        // Begun again: what was collected is of an older list.
        if cursor.isRestarted { seen = [] }
        guard let fence else { break }
        seen.append(fence === fences[0] ? 0 : 1)
      } while true
      run.mark("\(seen)")
    }
  }

  /// A wait for a point that nobody has submitted, its submission, and its signal.
  static let submission = Race("submission", ends: ["done", "EINVAL, done"]) { run, bench in
    let object = SyncObject(bench.contexts)
    let fence = bench.fence()
    run.task("submit") {
      await run.kernel.point()
      object.addPoint(fence, at: 3)
    }
    run.task("signal") {
      await run.kernel.point()
      fence.signal()
    }
    run.task("waiter") { () async throws(KernelError) in
      var text = "done"
      do throws(KernelError) {
        _ = try await SyncObject.wait([(object, 3)], [], timeout: .max)
      } catch {
        text = "\(error), done"
        _ = try await SyncObject.wait([(object, 3)], [.forSubmit], timeout: .max)
      }
      run.expect(fence.isSignaledFlag, "a wait that ended too early")
      run.mark(text)
    }
  }

  /// The fence is replaced while it is copied to a point of a timeline and that is queried.
  static let transfer = Race(
    "transfer", ends: ["EINVAL, at 0", "ok, at 5", "ok, at 0"]
  ) { run, bench in
    let source = SyncObject(bench.contexts, isSignaled: true)
    let target = SyncObject(bench.contexts)
    let text = Shared(run.kernel, 1, ("", UInt64(0)))
    run.task("reset") {
      await run.kernel.point()
      source.replace(with: nil)
    }
    run.task("transfer") {
      await run.kernel.point()
      do throws(KernelError) {
        try await target.transfer(from: source, at: 0, to: 5)
        text.value.0 = "ok"
      } catch {
        text.value.0 = error.name
      }
    }
    run.task("query") {
      await run.kernel.point()
      text.value.1 = target.query()
    }
    run.atEnd { run.mark("\(text.value.0), at \(text.value.1)") }
  }

  /// An event counter asked for, the point's coming, and its signal: one event in every order.
  static let eventCounter = Race("event counter", ends: ["1 event"]) { run, bench in
    let object = SyncObject(bench.contexts)
    let counter = EventCounter(run.kernel)
    let fence = bench.fence()
    run.task("notify") {
      await run.kernel.point()
      object.notify(counter, at: 1)
    }
    run.task("submit") {
      await run.kernel.point()
      object.addPoint(fence, at: 1)
    }
    run.task("signal") {
      await run.kernel.point()
      fence.signal()
    }
    run.atEnd { run.mark("\(counter.count) event") }
  }

  /// A point made while the timeline counts past it and is closed.
  static let softwareTimeline = Race(
    "software timeline", ends: ["signaled", "error ENOENT", "refused ENOENT"]
  ) { run, bench in
    let timeline = SoftwareTimeline(bench.contexts, "sw")
    run.task("count") {
      await run.kernel.point()
      timeline.increment(by: 1)
    }
    run.task("close") {
      await run.kernel.point()
      timeline.close()
    }
    run.task("point 1") {
      await run.kernel.point()
      do throws(KernelError) {
        let fence = try timeline.fence(at: 1)
        _ = await fence.wait()
        run.mark("\(fence.status)")
      } catch {
        run.mark("refused \(error.name)")
      }
    }
  }

  static let containers = [
    chain, reservation, submission, transfer, eventCounter, softwareTimeline,
  ]
}
