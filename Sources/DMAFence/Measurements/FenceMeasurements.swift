package import KernelRuntime

/// Flows whose cost is worth knowing. Each does a number of operations and gives back how many, so
/// that a benchmark divides its time by it; none reads a clock.
package enum FenceMeasurements {
  private final class Driver: FenceOperations {
    let driverName = "bench"
    let timelineName = "bench"
  }

  /// What a run leaves behind, to be held against a bound.
  package struct Timeline: Sendable {
    /// Points added.
    package let points: Int
    /// Most links alive at once.
    package let mostLinks: Int
    /// Points open at once.
    package let window: Int
  }

  private static func fences(_ kernel: Kernel, _ count: Int) -> [Fence] {
    let driver = Driver()
    let context = FenceContexts(kernel).allocate()
    return (0..<count).map {
      Fence(kernel, operations: driver, context: context, seqno: UInt64($0 + 1))
    }
  }

  /// Makes and signals `count` fences with one callback each, one after the other.
  package static func signalWithCallback(_ count: Int) -> Int {
    let kernel = Kernel()
    let driver = Driver()
    var calls = 0
    for number in 1...UInt64(count) {
      let fence = Fence(kernel, operations: driver, context: 1, seqno: number)
      fence.addCallback { _ in calls += 1 }
      fence.signal()
    }
    return calls
  }

  /// Makes and signals `count` fences that nobody waits for, one after the other.
  package static func signalAlone(_ count: Int) -> Int {
    let kernel = Kernel()
    let driver = Driver()
    var signalled = 0
    for number in 1...UInt64(count) {
      let fence = Fence(kernel, operations: driver, context: 1, seqno: number)
      if fence.signal() { signalled += 1 }
    }
    return signalled
  }

  /// A task waits for `count` fences, one after the other; another signals each. In either mode.
  package static func waitAndWake(_ count: Int, mode: Kernel.Mode) throws(RunFailure) -> Int {
    let kernel = Kernel(mode: mode)
    let made = fences(kernel, count)
    var woken = 0
    try kernel.run {
      let waiter = kernel.spawn("waiter") {
        for fence in made {
          if await fence.wait(timeout: 1_000_000_000).isSignaled { woken += 1 }
        }
      }
      for fence in made {
        await kernel.yield()
        fence.signal()
      }
      await waiter.join()
    }
    return woken
  }

  /// Adds `points` points to one timeline with `window` of them open; links must stay bounded by
  /// the window.
  package static func longTimeline(points: Int, window: Int) -> Timeline {
    let kernel = Kernel()
    let contexts = FenceContexts(kernel)
    let driver = Driver()
    let object = SyncObject(contexts)
    let context = contexts.allocate()
    var open: [Fence] = []
    var next = 0
    var most = 0
    for number in 1...UInt64(points) {
      let fence = Fence(
        kernel, operations: driver, context: context, seqno: number, is64Bit: true)
      object.addPoint(fence, at: number)
      if open.count < window {
        open.append(fence)
      } else {
        open[next].signal()
        open[next] = fence
        next = (next + 1) % window
      }
      if number % 1024 == 0, let head = object.fence as? FenceChain {
        most = max(most, head.linkCount)
      }
    }
    return Timeline(points: points, mostLinks: most, window: window)
  }

  /// A timeline of `points` open points, for ``search(_:_:)``.
  package static func openTimeline(points: Int) -> (kernel: Kernel, head: Fence) {
    let kernel = Kernel()
    let contexts = FenceContexts(kernel)
    var head: FenceChain?
    for (index, fence) in fences(kernel, points).enumerated() {
      head = FenceChain(contexts, after: head, fence, seqno: UInt64(index + 1))
    }
    return (kernel, head ?? contexts.stub)
  }

  /// Looks `count` points up in a timeline of `points`; gives how many were found.
  package static func search(_ head: Fence, points: Int, count: Int) -> Int {
    var found = 0
    var number: UInt64 = 1
    for _ in 0..<count {
      // A step prime to every power of two visits points far apart.
      number = (number &+ 7919) % UInt64(points) + 1
      if let link = try? head.point(number), link.seqno == number { found += 1 }
    }
    return found
  }

  /// Merges `count` fences of as many contexts, handed over in a scattered order.
  package static func merge(_ count: Int) -> (kernel: Kernel, merge: () -> Int) {
    let kernel = Kernel()
    let contexts = FenceContexts(kernel)
    let driver = Driver()
    let base = contexts.allocate(count)
    let fences = (0..<count).map { index in
      Fence(
        kernel, operations: driver, context: base + UInt64(index * 7919 % count), seqno: 1)
    }
    return (kernel, { Fence.merge(fences, in: contexts).leaves.count })
  }
}
