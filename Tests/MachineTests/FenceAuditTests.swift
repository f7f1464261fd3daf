import Base
import KernelRuntime
import Machine
import NouveauTestKit
import Testing

@testable import Nouveau

/// The audit of fences, with defects planted for it to find.
@Suite struct FenceAuditTests {
  /// Emits a fence without asking whether the channel lives.
  private func emit(on channel: Channel) async throws(KernelError) {
    await channel.lock.lock()
    var writer = PushWriter(channel.ring.memory, from: channel.ring.head, dwords: 8)
    _ = channel.fences.emit(&writer)
    channel.lock.unlock()
  }

  @Test func fenceOnADeadChannel_isNamed() throws {
    try withBench(pages: 1, configure: { $0.isTracing = true }) { bench in
      let channel = try #require(bench.machine.driver).copyChannel
      channel.kill(.EIO)
      #expect(bench.machine.audit() == [])
      // F02: the kill has flushed the list, and nobody looks at it again.
      try await self.emit(on: channel)
      let fences = channel.fences
      let line = try #require(bench.machine.audit().first)
      #expect(
        line == "fence \(fences.context):\(fences.sequence) is pending on the dead channel 0")
      let event = try #require(bench.machine.kernel.trace.origin(of: line))
      #expect(event.kind.name == "fence.emit" && event.b == UInt64(fences.sequence))
      fences.kill(.EIO, trustsMemory: false)
      #expect(bench.machine.audit() == [])
    }
  }

  @Test func pendingFenceOfALivingChannel_isNoOffence() throws {
    try withBench(pages: 1) { bench in
      let channel = try #require(bench.machine.driver).copyChannel
      bench.machine.kernel.failures.arm(.fenceStall, .nth(1))
      _ = try await NouveauFence.emit(on: channel)
      #expect(channel.fences.pendingCount == 1 && bench.machine.audit() == [])
    }
  }

  /// A fence that left the list and was never ended.
  @Test func lostFence_isFound() throws {
    try withBench(pages: 1) { bench in
      let channel = try #require(bench.machine.driver).copyChannel
      try await NouveauFence.emit(on: channel).wait()
      #expect(bench.machine.audit() == [])
      let emitted = channel.fences.emittedCount
      channel.fences.emittedCount += 1
      #expect(
        bench.machine.audit() == [
          "fence: channel 0 has emitted \(emitted + 1) fences, \(emitted) have ended and 0 are "
            + "pending"
        ])
      channel.fences.emittedCount = emitted
    }
  }

  /// Ended with an error or without, by a kill or by the hardware, over a rebuild: each once.
  @Test func fencesOfManyEnds_areAllCounted() throws {
    try withBench(pages: 1) { bench in
      let channel = try #require(bench.machine.driver).copyChannel
      let before = channel.fences.emittedCount
      for number in 1...6 {
        if number % 2 == 0 { bench.machine.kernel.failures.arm(.fenceStall, .nth(1)) }
        _ = try await NouveauFence.emit(on: channel)
        if number % 3 == 0 { try await channel.rebuild() }
      }
      bench.machine.kernel.failures.disarm()
      try await NouveauFence.emit(on: channel).wait()
      #expect(channel.fences.emittedCount - before >= 7)
      #expect(channel.fences.emittedCount == channel.fences.endedCount)
      #expect(bench.machine.audit() == [])
    }
  }
}
