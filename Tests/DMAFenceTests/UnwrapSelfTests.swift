import Base
import DMAFence
import KernelRuntime
import Testing

/// The checks of drivers/dma-buf/st-dma-fence-unwrap.c.
@Suite("dma-fence-unwrap") struct UnwrapSelfTests {
  private func ids(_ fence: Fence) -> [ObjectIdentifier] {
    fence.leaves.map { ObjectIdentifier($0) }
  }
  private func ids(_ fences: [Fence]) -> Set<ObjectIdentifier> {
    Set(fences.map { ObjectIdentifier($0) })
  }

  @Test("dma-fence-unwrap: sanitycheck") func sanity() throws {
    try flow { bench in
      let fence = bench.fence()
      let array = FenceArray(bench.contexts, [fence])
      array.enableSignaling()
      fence.signal()
      #expect(await array.wait(timeout: 1000).isSignaled)
    }
  }

  @Test("dma-fence-unwrap: unwrap_array") func array() throws {
    try flow { bench in
      let fences = bench.fences(2)
      let array = FenceArray(bench.contexts, fences)
      #expect(array.leaves.count == 2)
      #expect(Set(ids(array)) == ids(fences))
    }
  }

  @Test("dma-fence-unwrap: unwrap_chain") func chain() throws {
    try flow { bench in
      let fences = bench.fences(2)
      let first = FenceChain(bench.contexts, after: nil, fences[0], seqno: 1)
      let second = FenceChain(bench.contexts, after: first, fences[1], seqno: 2)
      #expect(second.leaves.count == 2)
      #expect(Set(ids(second)) == ids(fences))
    }
  }

  @Test("dma-fence-unwrap: unwrap_chain_array") func chainArray() throws {
    try flow { bench in
      let fences = bench.fences(3)
      let array = FenceArray(bench.contexts, Array(fences[0...1]))
      let first = FenceChain(bench.contexts, after: nil, fences[2], seqno: 1)
      let second = FenceChain(bench.contexts, after: first, array, seqno: 2)
      #expect(second.leaves.count == 3)
      #expect(Set(ids(second)) == ids(fences))
    }
  }

  @Test("dma-fence-unwrap: unwrap_merge") func merge() throws {
    try flow { bench in
      let fences = bench.fences(2)
      let merged = Fence.merge(fences, in: bench.contexts)
      #expect(merged.leaves.count == 2)
      #expect(Set(ids(merged)) == ids(fences))
    }
  }

  @Test("dma-fence-unwrap: unwrap_merge_complex") func mergeComplex() throws {
    try flow { bench in
      let fences = bench.fences(5)
      // Two merges of two, one shared leaf, one signalled leaf, merged again.
      let one = Fence.merge([fences[0], fences[1], fences[4]], in: bench.contexts)
      fences[4].signal()
      let other = Fence.merge([fences[1], fences[2], fences[3]], in: bench.contexts)
      let merged = Fence.merge([one, other, fences[4]], in: bench.contexts)
      #expect(merged.leaves.count == 4)
      #expect(Set(ids(merged)) == ids(Array(fences[0..<4])))
    }
  }
}
