import Base
import DMAFence
import KernelRuntime
import Testing

/// The checks of drivers/dma-buf/st-dma-fence.c.
@Suite("dma-fence") struct FenceSelfTests {
  @Test("dma-fence: sanitycheck") func sanity() throws {
    try flow { bench in
      let fence = bench.fence()
      fence.enableSignaling()
      #expect(fence.signal())
      #expect(await fence.wait().isSignaled)
    }
  }

  @Test("dma-fence: test_signaling") func signaling() throws {
    try flow { bench in
      let fence = bench.fence()
      #expect(!fence.isSignaled)
      #expect(fence.signal())
      #expect(fence.isSignaled)
      #expect(!fence.signal())
    }
  }

  @Test("dma-fence: test_add_callback") func addCallback() throws {
    try flow { bench in
      let fence = bench.fence()
      var calls = 0
      #expect(fence.addCallback { _ in calls += 1 } != nil)
      #expect(calls == 0)
      fence.signal()
      #expect(calls == 1)
    }
  }

  @Test("dma-fence: test_late_add_callback") func lateAddCallback() throws {
    try flow { bench in
      let fence = bench.fence()
      fence.signal()
      var calls = 0
      #expect(fence.addCallback { _ in calls += 1 } == nil)
      fence.signal()
      #expect(calls == 0)
    }
  }

  @Test("dma-fence: test_rm_callback") func removeCallback() throws {
    try flow { bench in
      let fence = bench.fence()
      var calls = 0
      let callback = try #require(fence.addCallback { _ in calls += 1 })
      #expect(fence.removeCallback(callback))
      fence.signal()
      #expect(calls == 0)
    }
  }

  @Test("dma-fence: test_late_rm_callback") func lateRemoveCallback() throws {
    try flow { bench in
      let fence = bench.fence()
      var calls = 0
      let callback = try #require(fence.addCallback { _ in calls += 1 })
      fence.signal()
      #expect(calls == 1)
      #expect(!fence.removeCallback(callback))
    }
  }

  @Test("dma-fence: test_status") func status() throws {
    try flow { bench in
      let fence = bench.fence()
      #expect(fence.status.code == 0)
      fence.signal()
      #expect(fence.status.code > 0)
    }
  }

  @Test("dma-fence: test_error") func error() throws {
    try flow { bench in
      let fence = bench.fence()
      fence.setError(.EIO)
      #expect(fence.status == .pending)
      fence.signal()
      #expect(fence.status == .failed(.EIO))
      #expect(fence.status.code == -5)
    }
  }

  @Test("dma-fence: test_wait") func wait() throws {
    try flow { bench in
      let fence = bench.fence()
      #expect(await fence.wait(timeout: 0) == .timedOut)
      fence.signal()
      #expect(await fence.wait(timeout: 0) == .signaled(remaining: 1))
    }
  }

  @Test("dma-fence: test_wait_timeout") func waitTimeout() throws {
    try flow { bench in
      let fence = bench.fence()
      #expect(await fence.wait(timeout: 1) == .timedOut)
      bench.kernel.after(1_000_000, "timer") { fence.signal() }
      #expect(await fence.wait(timeout: 2_000_000) == .signaled(remaining: 1_000_000))
    }
  }

  @Test("dma-fence: test_stub") func stub() throws {
    try flow { bench in
      let fences = (0..<64).map { _ in bench.contexts.stub }
      for fence in fences { #expect(fence.isSignaled) }
    }
  }

  @Test("dma-fence: race_signal_callback", arguments: [false, true])
  func raceSignalCallback(signalsFirst: Bool) throws {
    try explore { bench in
      let kernel = bench.kernel
      // Two tasks exchange fences; each signals the other's, with a callback added around it.
      for _ in 0..<4 {
        let fence = bench.fence()
        var calls = 0
        var wasRefused = false
        let adder = kernel.spawn("add") {
          await kernel.point()
          wasRefused = fence.addCallback { _ in calls += 1 } == nil
          await kernel.point()
        }
        let signaller = kernel.spawn("signal") {
          if !signalsFirst { await kernel.point() }
          fence.signal()
          await kernel.point()
        }
        await adder.join()
        await signaller.join()
        try require(wasRefused != (calls == 1), "refused \(wasRefused), ran \(calls) times")
      }
    }
  }
}
