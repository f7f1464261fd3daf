import Base
import DMAFence
import KernelRuntime
import Testing

/// A chain of points `1, 1 + step, …`, each with a fence of its own.
private struct ChainBench {
  let fences: [Fence]
  let chains: [FenceChain]

  init(_ bench: Bench, count: Int = 64, seqno: (Int) -> UInt64 = { UInt64($0 + 1) }) {
    fences = bench.fences(count)
    var chains: [FenceChain] = []
    for (index, fence) in fences.enumerated() {
      chains.append(FenceChain(bench.contexts, after: chains.last, fence, seqno: seqno(index)))
    }
    self.chains = chains
  }

  var tail: FenceChain { chains[chains.count - 1] }
}

/// The checks of drivers/dma-buf/st-dma-fence-chain.c.
@Suite("dma-fence-chain") struct ChainSelfTests {
  @Test("dma-fence-chain: sanitycheck") func sanity() throws {
    try flow { bench in
      let fence = bench.fence()
      let chain = FenceChain(bench.contexts, after: nil, fence, seqno: 1)
      chain.enableSignaling()
      #expect(chain.contained === fence)
      fence.signal()
      #expect(chain.isSignaled)
      #expect(await chain.wait().isSignaled)
    }
  }

  @Test("dma-fence-chain: find_seqno") func findSeqno() throws {
    try flow { bench in
      let made = ChainBench(bench)
      try #expect(made.tail.point(0) === made.tail)
      for (index, chain) in made.chains.enumerated() {
        let number = UInt64(index + 1)
        try #expect(made.tail.point(number) === chain)
        #expect(throws: KernelError.EINVAL) { try chain.point(number + 1) }
        try #expect(chain.point(number) === chain)
        if index > 0 { try #expect(chain.point(number - 1) === made.chains[index - 1]) }
      }
      #expect(throws: KernelError.EINVAL) { try made.fences[0].point(1) }
    }
  }

  @Test("dma-fence-chain: find_signaled") func findSignaled() throws {
    try flow { bench in
      let made = ChainBench(bench, count: 2)
      made.fences[0].signal()
      let found = try made.chains[1].point(1)
      #expect(found == nil || found === made.chains[0])
      try #expect(made.chains[0].point(1)?.isSignaled != false)
    }
  }

  @Test("dma-fence-chain: find_out_of_order") func findOutOfOrder() throws {
    try flow { bench in
      let made = ChainBench(bench, count: 3)
      made.fences[1].signal()
      // Point 1 must still be waited for; link 2 may have been dropped.
      let found = try #require(try made.chains[2].point(2))
      #expect(found === made.chains[0] || found === made.chains[1])
      #expect(!made.chains[1].isSignaled)
    }
  }

  @Test("dma-fence-chain: find_gap") func findGap() throws {
    try flow { bench in
      let made = ChainBench(bench) { UInt64(2 * $0 + 1) }
      for (index, chain) in made.chains.enumerated() {
        let number = UInt64(2 * index + 1)
        try #expect(made.tail.point(number) === chain)
        if index > 0 { try #expect(made.tail.point(number - 1) === chain) }
        #expect(throws: KernelError.EINVAL) { try chain.point(number + 1) }
      }
    }
  }

  @Test("dma-fence-chain: find_race") func findRace() throws {
    try explore(seeds: 0..<40) { bench in
      let kernel = bench.kernel
      let made = ChainBench(bench, count: 16)
      var broken: String?
      var tasks: [KernelTask] = []
      for worker in 0..<3 {
        tasks.append(
          kernel.spawn("find \(worker)") {
            while !made.tail.isSignaled && broken == nil {
              await kernel.yield()
              let number = UInt64(1 + kernel.draw(below: 16, "point"))
              do throws(KernelError) {
                guard let found = try made.tail.point(number) else { continue }
                if found.seqno > number { broken = "point \(number) gave \(found)" }
                await kernel.point()
                _ = found.isSignaled
              } catch {
                broken = "point \(number): \(error)"
              }
            }
          })
      }
      tasks.append(
        kernel.spawn("signal") {
          var order = Array(made.fences.indices)
          while !order.isEmpty {
            let fence = made.fences[order.remove(at: kernel.draw(below: order.count, "fence"))]
            fence.signal()
            await kernel.yield()
          }
        })
      for task in tasks { await task.join() }
      try require(broken == nil, broken ?? "")
      try require(made.chains.allSatisfy { $0.isSignaled }, "a point is pending at the end")
    }
  }

  @Test("dma-fence-chain: signal_forward") func signalForward() throws {
    try flow { bench in
      let made = ChainBench(bench)
      for (index, fence) in made.fences.enumerated() {
        fence.signal()
        #expect(made.chains[index].isSignaled)
        if index + 1 < made.chains.count { #expect(!made.chains[index + 1].isSignaled) }
      }
    }
  }

  @Test("dma-fence-chain: signal_backward") func signalBackward() throws {
    try flow { bench in
      let made = ChainBench(bench)
      for index in made.fences.indices.reversed() {
        made.fences[index].signal()
        if index > 0 { #expect(!made.chains[index].isSignaled) }
      }
      for chain in made.chains { #expect(chain.isSignaled) }
    }
  }

  private func wait(_ order: @escaping (Bench, Int) -> [Int]) throws {
    try explore(seeds: 0..<40) { bench in
      let made = ChainBench(bench, count: 32)
      var isDone = false
      let waiter = bench.kernel.spawn("waiter") {
        isDone = await made.tail.wait(timeout: 1_000_000_000).isSignaled
      }
      for (position, index) in order(bench, 32).enumerated() {
        await bench.kernel.point()
        try require(!isDone, "the waiter went on after \(position) of 32")
        made.fences[index].signal()
      }
      await waiter.join()
      try require(isDone, "the waiter timed out")
    }
  }

  @Test("dma-fence-chain: wait_forward") func waitForward() throws {
    try wait { Array(0..<$1) }
  }

  @Test("dma-fence-chain: wait_backward") func waitBackward() throws {
    try wait { Array((0..<$1).reversed()) }
  }

  @Test("dma-fence-chain: wait_random") func waitRandom() throws {
    try wait { bench, count in
      var order = Array(0..<count)
      for index in order.indices.reversed() {
        order.swapAt(index, bench.kernel.draw(below: index + 1, "shuffle"))
      }
      return order
    }
  }
}
