import Base
import DMAFence
import KernelRuntime
import Testing

/// The checks of drivers/dma-buf/st-dma-resv.c, for each usage.
@Suite("dma-resv") struct ReservationSelfTests {
  private func attach(
    _ bench: Bench, _ usage: ReservationUsage
  ) async throws(KernelError) -> (Reservation, Fence) {
    let object = Reservation(bench.contexts)
    let fence = bench.fence()
    try await object.lock.withLock { () throws(KernelError) in
      try object.reserve(1)
      object.add(fence, usage)
    }
    return (object, fence)
  }

  @Test("dma-resv: sanitycheck", arguments: ReservationUsage.allCases)
  func sanity(usage: ReservationUsage) throws {
    try flow { bench in
      let (object, fence) = try await attach(bench, usage)
      fence.enableSignaling()
      await object.lock.withLock {}
      fence.signal()
      #expect(fence.isSignaled)
    }
  }

  @Test("dma-resv: test_signaling", arguments: ReservationUsage.allCases)
  func signaling(usage: ReservationUsage) throws {
    try flow { bench in
      let (object, fence) = try await attach(bench, usage)
      #expect(!object.isSignaled(usage))
      fence.signal()
      #expect(object.isSignaled(usage))
    }
  }

  @Test("dma-resv: test_for_each", arguments: ReservationUsage.allCases)
  func forEach(usage: ReservationUsage) throws {
    try flow { bench in
      let (object, fence) = try await attach(bench, usage)
      for asked in ReservationUsage.allCases {
        var seen = 0
        try await object.lock.withLock { () throws(KernelError) in
          try object.forEach(asked) { (found, foundUsage) throws(KernelError) in
            #expect(found === fence && foundUsage == usage)
            seen += 1
          }
        }
        #expect(seen == (asked >= usage ? 1 : 0), "asked for \(asked)")
      }
    }
  }

  @Test("dma-resv: test_for_each_unlocked", arguments: ReservationUsage.allCases)
  func forEachUnlocked(usage: ReservationUsage) throws {
    try flow { bench in
      let (object, fence) = try await attach(bench, usage)
      var cursor = object.cursor(usage)
      #expect(cursor.next() === fence)
      #expect(cursor.isRestarted && cursor.fenceUsage == usage)
      // The set changes under the cursor: it must begin again and say so.
      try await object.lock.withLock { () throws(KernelError) in try object.reserve(8) }
      #expect(cursor.next() === fence)
      #expect(cursor.isRestarted)
      #expect(cursor.next() == nil)
      #expect(!cursor.isRestarted)
    }
  }

  @Test("dma-resv: test_get_fences", arguments: ReservationUsage.allCases)
  func getFences(usage: ReservationUsage) throws {
    try flow { bench in
      let (object, fence) = try await attach(bench, usage)
      let found = object.fences(usage)
      #expect(found.count == 1)
      #expect(found.first === fence)
    }
  }
}
