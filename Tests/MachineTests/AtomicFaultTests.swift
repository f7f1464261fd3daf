import Base
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// Changes another part of the process each time that a page is taken for the device alone.
private final class Disturber: IntervalNotifierOperations {
  let kernel: Kernel
  let disturb: () async -> Void
  /// Times left.
  var times: Int
  private(set) var disturbed = 0

  init(_ kernel: Kernel, times: Int, _ disturb: @escaping () async -> Void) {
    self.kernel = kernel
    self.times = times
    self.disturb = disturb
  }

  func invalidate(
    _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
  ) async -> Bool {
    notifier.setSequence(sequence)
    guard event.kind == .exclusive, event.owner != nil, times > 0 else { return true }
    times -= 1
    disturbed += 1
    await kernel.spawn("disturber") { await self.disturb() }.join()
    await kernel.sleep(100_000_000)
    return true
  }
}

/// Atomic instructions of the GPU on a process's memory.
@Suite struct AtomicFaultTests {
  private func word(_ bench: Bench, _ page: Int) async throws -> UInt32 {
    let bytes = try await bench.process.space.load(bench.address(page), count: 4)
    return bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  @Test func atomic_takesThePageAlone_andTheCPUTakesItBack() throws {
    try withBench(pages: 2) { bench in
      let process = bench.process
      try await process.space.store(bench.address(0), [5, 0, 0, 0])
      #expect(try await process.deviceAtomicAdd(bench.address(0), 3) == 5)
      guard case .exclusive = process.space.entry(at: bench.address(0)).location else {
        Issue.record("the CPU has \(process.space.entry(at: bench.address(0)))")
        return
      }
      // Without a new fault, and for plain accesses too.
      let served = bench.machine.svm?.counters.served
      #expect(try await process.deviceAtomicAdd(bench.address(0), 1) == 8)
      try await process.deviceStore(bench.address(0, 4), [1])
      #expect(bench.machine.svm?.counters.served == served)
      #expect(try await self.word(bench, 0) == 9)
      #expect(process.deviceTranslation(bench.address(0)) == .none, "revoked")
      #expect(try await process.deviceAtomicAdd(bench.address(0), 1) == 9)
      // A place never touched, and one that may not be written.
      #expect(try await process.deviceAtomicAdd(bench.address(1), 2) == 0)
      try await process.space.protect(bench.range(1..<2), .read)
      await #expect(throws: DeviceAccessError.cancelled(bench.address(1))) {
        _ = try await process.deviceAtomicAdd(bench.address(1), 2)
      }
      #expect(try await self.word(bench, 1) == 2)
    }
  }

  @Test func pageInVRAM_staysThere() throws {
    try withBench(pages: 1) { bench in
      try await bench.process.space.store(bench.address(0), [7, 0, 0, 0])
      _ = try await bench.process.migrateToDevice(bench.all)
      #expect(try await bench.process.deviceAtomicAdd(bench.address(0), 1) == 7)
      #expect(bench.isOnDevice(0))
      #expect(try await self.word(bench, 0) == 8)
    }
  }

  /// A mapping that was read through the bus is no mapping for atomics.
  @Test func pageThatTheGPUOnlyRead_faultsAgain() throws {
    try withBench(pages: 1) { bench in
      try await bench.process.space.store(bench.address(0), [7, 0, 0, 0])
      try await bench.process.deviceStore(bench.address(0), [6])
      #expect(try await bench.process.deviceAtomicAdd(bench.address(0), 1) == 6)
      #expect(try await self.word(bench, 0) == 7)
    }
  }

  /// bugs.md N16, first form: the range changes once between taking the page and programming it.
  @Test func N16_changedOnce_isTriedAgain_andNothingStaysLocked() throws {
    try withBench(pages: 2) { bench in
      let process = bench.process
      try await process.space.store(bench.address(0), [1, 0, 0, 0])
      let disturber = Disturber(bench.machine.kernel, times: 1) {
        try? await process.space.discard(bench.range(1..<2))
      }
      let notifier = try process.space.insertNotifier(bench.range(0..<1), disturber)
      #expect(try await process.deviceAtomicAdd(bench.address(0), 1) == 1)
      #expect(disturber.disturbed == 1)
      #expect(bench.machine.svm?.counters.retries == 1)
      guard case .exclusive(let page) = process.space.entry(at: bench.address(0)).location else {
        Issue.record("the CPU has \(process.space.entry(at: bench.address(0)))")
        return
      }
      #expect(!bench.machine.mm.isLocked(page))
      let report = bench.machine.mm.referenceReport(page)
      #expect(report.others == 0, "\(report)")
      await notifier.remove()
      #expect(try await self.word(bench, 0) == 2)
      // It can migrate as any other page.
      _ = try await process.migrateToDevice(bench.range(0..<1))
      #expect(bench.isOnDevice(0))
    }
  }

  /// bugs.md N16, second form: it changes each time, until the driver's patience ends.
  @Test func N16_changedEachTime_isGivenUpInTime_withoutALeak() throws {
    try withBench(pages: 2) { bench in
      let process = bench.process
      try await process.space.store(bench.address(0), [1, 0, 0, 0])
      let disturber = Disturber(bench.machine.kernel, times: 1000) {
        try? await process.space.discard(bench.range(1..<2))
      }
      let notifier = try process.space.insertNotifier(bench.range(0..<1), disturber)
      await #expect(throws: DeviceAccessError.cancelled(bench.address(0))) {
        _ = try await process.deviceAtomicAdd(bench.address(0), 1)
      }
      #expect(disturber.disturbed > 1 && disturber.times > 0)
      await notifier.remove()
      #expect(try await self.word(bench, 0) == 1, "the page is neither locked nor changed")
      #expect(try await process.deviceAtomicAdd(bench.address(0), 1) == 1)
    }
  }

  @Test(arguments: (1...40).map { Order.random(seed: $0) })
  func atomicsOfBothSides_addUp(order: Order) throws {
    try withBench(pages: 1, order: order) { bench in
      let process = bench.process
      try await process.space.store(bench.address(0), [0, 0, 0, 0])
      let device = bench.machine.kernel.spawn("gpu") {
        for _ in 0..<5 { _ = try? await process.deviceAtomicAdd(bench.address(0), 1) }
      }
      for _ in 0..<5 {
        _ = try await process.space.exchange(bench.address(0)) { (word: UInt32) in word + 1 }
      }
      await device.join()
      #expect(try await self.word(bench, 0) == 10, "\(order)")
    }
  }
}
