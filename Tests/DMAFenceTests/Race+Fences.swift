import Base
import DMAFence
import KernelRuntime
import NouveauTestKit

// Races of one fence and of waits for it.
extension Race {
  /// A callback is called once, or refused, or taken back in time.
  static let callbacks = Race(
    "callbacks",
    ends: [
      "added ran, removed ran", "added ran, removed taken back", "added refused, removed ran",
      "added refused, removed taken back",
    ]
  ) { run, bench in
    let fence = bench.fence()
    let added = Shared(run.kernel, 1, "never called")
    let removed = Shared(run.kernel, 2, "never called")
    let early = fence.addCallback { _ in removed.value = "ran" }
    run.task("add") {
      await run.kernel.point()
      if fence.addCallback({ _ in added.value = "ran" }) == nil { added.value = "refused" }
    }
    run.task("remove") {
      await run.kernel.point()
      if let early, fence.removeCallback(early) { removed.value = "taken back" }
    }
    run.task("signal") {
      await run.kernel.point()
      fence.signal()
    }
    run.atEnd { run.mark("added \(added.value), removed \(removed.value)") }
  }

  /// Enabling that says "done already" against a signal and a second waiter: one signal.
  static let enabling = Race("enabling", ends: ["2 went on, enabled once, error none"]) {
    run, bench in
    bench.driver.canEnable = false
    let fence = bench.fence()
    let count = Shared(run.kernel, 1, 0)
    for name in ["one", "two"] {
      run.task(name) {
        _ = await fence.wait()
        count.value += 1
      }
    }
    run.task("signal") {
      await run.kernel.point()
      fence.signal()
    }
    run.atEnd {
      let enabled = bench.driver.enabled.count <= 1 ? "once" : "more than once"
      run.mark(
        "\(count.value) went on, enabled \(enabled), error \(fence.error?.name ?? "none")")
    }
  }

  /// The limit passes at the very time of the signal.
  static let timeOut = Race("time out", ends: ["signaled", "timed out, signaled later"]) {
    run, bench in
    let fence = bench.fence()
    run.kernel.after(100, "device") { fence.signal() }
    run.task("waiter") {
      switch await fence.wait(timeout: 100) {
      case .signaled: run.mark("signaled")
      case .timedOut:
        _ = await fence.wait()
        run.mark("timed out, signaled later")
      }
    }
  }

  /// A signal to the process and one of the fence.
  static let interruption = Race("interruption", ends: ["signaled", "ERESTARTSYS"]) { run, bench in
    let fence = bench.fence()
    let waiter = run.kernel.spawn("waiter") {
      do throws(KernelError) {
        run.expect(try await fence.waitInterruptible().isSignaled, "end")
        run.mark("signaled")
      } catch {
        run.mark(error.name)
      }
    }
    run.task("signal") {
      await run.kernel.point()
      fence.signal()
    }
    run.task("kill") {
      await run.kernel.point()
      waiter.interrupt()
    }
  }

  /// The error is there for whoever sees the fence signalled, and two signals are one.
  static let errorAndSignal = Race(
    "error and signal", ends: ["EIO, 1 was first", "none, 1 was first"]
  ) { run, bench in
    let fence = bench.fence()
    let first = Shared(run.kernel, 1, 0)
    run.task("failing") {
      await run.kernel.point()
      if !fence.isSignaledFlag {
        fence.setError(.EIO)
        if fence.signal() { first.value += 1 }
      }
    }
    run.task("done") {
      await run.kernel.point()
      if fence.signal() { first.value += 1 }
    }
    run.task("waiter") {
      _ = await fence.wait()
      run.mark("\(fence.error?.name ?? "none"), \(first.value) was first")
    }
  }

  /// Any of two; the index is of one that is signalled.
  static let waitAny = Race("wait any", ends: ["0", "1"]) { run, bench in
    let fences = bench.fences(2)
    run.task("waiter") { () async throws(KernelError) in
      guard case .signaled(let first, _) = try await Fence.waitAny(fences) else { return }
      run.expect(fences[first].isSignaledFlag, "an index of a pending fence")
      run.mark("\(first)")
    }
    for (index, fence) in fences.enumerated() {
      run.task("signal \(index)") {
        await run.kernel.point()
        fence.signal()
      }
    }
  }

  /// The last reference goes while another task signals: released once, and signalled or never.
  static let release = Race("release", ends: ["released 1, signals 0", "released 1, signals 1"]) {
    run, bench in
    bench.driver.wantsRelease = true
    let held = Shared<Fence?>(run.kernel, 1, bench.fence())
    let signals = Shared(run.kernel, 2, 0)
    run.task("drop") {
      await run.kernel.point()
      held.value = nil
    }
    run.task("signal") {
      await run.kernel.point()
      if held.value?.signal() == true { signals.value += 1 }
    }
    run.atEnd { run.mark("released \(bench.driver.released.count), signals \(signals.value)") }
  }

  static let fences = [
    callbacks, enabling, timeOut, interruption, errorAndSignal, waitAny, release,
  ]
}
