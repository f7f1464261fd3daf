import Base
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// `migrate_to_ram`: what a CPU access to a device page comes to.
@Suite struct FaultTests {
  /// Copies that are queued behind one that faults may fault too, when recovery has taken their
  /// channel off the list already. What comes afterwards works.
  @Test(arguments: Order.several)
  func copiesThatFaultOneAfterTheOther_leaveAWorkingChannel(order: Order) throws {
    try withBench(pages: 48, order: order) { bench in
      try await bench.fill(0..<48)
      let failures = bench.machine.kernel.failures
      for passage: UInt64 in 1...3 { failures.arm(.copyFault, .nth(passage)) }
      let movers = (0..<3).map { part in
        bench.machine.kernel.spawn("mover \(part)") {
          _ = try? await bench.process.migrateToDevice(bench.range(part * 16..<part * 16 + 16))
        }
      }
      for mover in movers { await mover.join() }
      failures.disarm()
      #expect(try await bench.process.migrateToDevice(bench.all).error == nil, "\(order)")
      #expect(bench.onDevice(0..<48) == 48, "\(order)")
      #expect(await bench.damaged(0..<48) == [], "\(order)")
    }
  }

  @Test func fault_bringsBackOnePage() throws {
    try withBench(pages: 8) { bench in
      try await bench.fill(0..<8)
      _ = try await bench.process.migrateToDevice(bench.all)
      #expect(await bench.damaged(3..<4) == [])
      #expect(bench.onDevice(0..<8) == 7)
      #expect(bench.counters.toRAM == 1)
    }
  }

  @Test func faultAround_bringsBackTheBlock() throws {
    let policy = try AlignedBlockPolicy(pages: 4)
    try withBench(pages: 10, configure: { $0.policy.faultAround = policy }) { bench in
      try await bench.fill(0..<10)
      _ = try await bench.process.migrateToDevice(bench.all)
      #expect(await bench.damaged(5..<6) == [])
      let back = (0..<10).filter { !bench.isOnDevice($0) }
      #expect(back.contains(5) && back.count <= 4 && back.count > 1)
      #expect(await bench.damaged(0..<10) == [])
    }
  }

  @Test(arguments: [0, 3, 1024, -4])
  func faultAround_refusesOddSizes(pages: Int) {
    #expect(throws: KernelError.EINVAL) { _ = try AlignedBlockPolicy(pages: pages) }
  }

  /// Each way in which bringing a page back can fail leaves it on the device with its bytes;
  /// without the failure the next access gets them (bugs.md N06, L01; checks.md A3, A4).
  @Test(arguments: [
    (InjectionPoint.dmaMap, KernelError.EIO), (.ringSpace, .EBUSY), (.fenceAlloc, .ENOMEM),
    (.fenceEmit, .ENODEV), (.copySubmit, .EIO),
  ])
  func failedFault_isSIGBUSAndLosesNothing(point: InjectionPoint, error: KernelError) throws {
    try withBench(pages: 3) { bench in
      try await bench.fill(0..<3)
      _ = try await bench.process.migrateToDevice(bench.all)
      bench.machine.kernel.failures.arm(point, .nth(1), error: error)
      await #expect(throws: AccessError.sigbus(bench.address(1), error)) {
        _ = try await bench.process.space.load(bench.address(1), count: 1)
      }
      #expect(bench.isOnDevice(1))
      bench.machine.kernel.failures.disarm()
      #expect(await bench.damaged(0..<3) == [])
    }
  }

  /// A fence that fails, stalls for ever or comes late: the access gets an error after the driver's
  /// limit, and nothing that was not copied is shown (bugs.md L04, checks.md A2).
  @Test(arguments: [
    InjectionPoint.fenceStall, .fenceLate, .copyError, .pbdmaError, .engineHang, .copyFault,
  ])
  func brokenCopy_isSIGBUSAndLosesNothing(point: InjectionPoint) throws {
    try withBench(pages: 3) { bench in
      try await bench.fill(0..<3)
      _ = try await bench.process.migrateToDevice(bench.all)
      bench.machine.kernel.failures.arm(point, .nth(1))
      var access: AccessError?
      do throws(AccessError) {
        _ = try await bench.process.space.load(bench.address(1), count: 1)
      } catch {
        access = error
      }
      guard case .sigbus = access else {
        Issue.record("\(point.name) gave \(String(describing: access))")
        return
      }
      #expect(bench.isOnDevice(1))
      bench.machine.kernel.failures.disarm()
      #expect(await bench.damaged(0..<3) == [], "\(point.name)")
    }
  }

  @Test func noMemory_isOutOfMemoryNotALoop() throws {
    try withBench(pages: 3) { bench in
      try await bench.fill(0..<3)
      _ = try await bench.process.migrateToDevice(bench.all)
      bench.machine.kernel.failures.arm(.pageAlloc, .always)
      await #expect(throws: AccessError.outOfMemory(bench.address(2))) {
        _ = try await bench.process.space.load(bench.address(2), count: 1)
      }
      bench.machine.kernel.failures.disarm()
      #expect(await bench.damaged(0..<3) == [])
    }
  }

  /// bugs.md M08: many threads on one device page all get it.
  @Test(arguments: Order.several)
  func manyThreads_onOnePageAllGetIt(order: Order) throws {
    try withBench(pages: 2, order: order) { bench in
      try await bench.fill(0..<2)
      _ = try await bench.process.migrateToDevice(bench.all)
      var tasks: [KernelTask] = []
      var good = 0
      for number in 0..<6 {
        tasks.append(
          bench.machine.kernel.spawn("reader \(number)") {
            if await bench.damaged(0..<1) == [] { good += 1 }
          })
      }
      for task in tasks { await task.join() }
      #expect(good == 6)
    }
  }

  /// bugs.md M09: the page is unmapped and its device page used again under the fault handler.
  @Test(arguments: (1...60).map { Order.random(seed: $0) })
  func unmapDuringFault_neverTouchesTheNextOwner(order: Order) throws {
    try withBench(pages: 4, order: order) { bench in
      try await bench.fill(0..<4)
      _ = try await bench.process.migrateToDevice(bench.range(0..<1))
      let kernel = bench.machine.kernel
      let reader = kernel.spawn("reader") {
        _ = try? await bench.process.space.load(bench.address(0), count: 8)
      }
      let other = kernel.spawn("other") {
        try? await bench.process.space.unmap(bench.range(0..<1))
        _ = try? await bench.process.migrateToDevice(bench.range(1..<4))
      }
      await reader.join()
      await other.join()
      #expect(await bench.damaged(1..<4) == [], "\(order)")
    }
  }
}
