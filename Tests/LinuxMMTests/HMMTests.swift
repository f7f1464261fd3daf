import Base
import KernelRuntime
import LinuxMM
import Testing

private final class Mirror: IntervalNotifierOperations {
  func invalidate(
    _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
  ) async -> Bool {
    notifier.setSequence(sequence)
    return true
  }
}

@Suite struct HMMRangeFaultTests {
  /// Reads a range as a mirror does, beginning again on `EBUSY`.
  private func read(
    _ machine: TestMachine, _ range: VirtualRange, owner: PagemapOwner? = nil, flags: UInt64 = 0,
    mask: UInt64 = 0, requests: [HMMPFN]? = nil
  ) async throws -> [HMMPFN] {
    let notifier = try machine.space.insertNotifier(range, Mirror())
    defer { _ = notifier }
    for _ in 0..<100 {
      var request = HMMRange(
        notifier: notifier, sequence: await notifier.readBegin(), range: range, owner: owner,
        defaultFlags: flags, flagsMask: mask, pfns: requests)
      await machine.space.mmapLock.lockShared()
      var failure: KernelError?
      do throws(KernelError) {
        try await machine.space.hmmRangeFault(&request)
      } catch {
        failure = error
      }
      machine.space.mmapLock.unlockShared()
      if failure == .EBUSY || failure == nil && notifier.readRetry(request.sequence) { continue }
      await notifier.remove()
      if let failure { throw failure }
      return request.pfns
    }
    throw KernelError.ETIME
  }

  @Test func snapshot_showsWhatIsThere_andFaultsNothing() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 5, filled: false)
      _ = try await machine.read(range.page(1))
      try await machine.fill(range, 2)
      try await machine.fill(range, 3)
      try await machine.device.take(machine.space, range.subrange(3..<4))
      let faults = machine.space.counters
      let own = try await self.read(machine, range, owner: machine.device.owner)
      #expect(machine.space.counters == faults)
      #expect(own[0] == .none)
      #expect(own[1].isValid && !own[1].isWritable && own[1].pfn == MemoryManager.zeroPage)
      #expect(try own[2].isWritable && own[2].pfn == machine.frame(range, 2))
      #expect(try own[3].isWritable && own[3].pfn == machine.frame(range, 3), "R48")
      #expect(own[4] == .none)
      let foreign = try await self.read(machine, range)
      #expect(foreign[3] == .none, "another's page is not reported")
    }
  }

  @Test func B14_H01_foreignDevicePage_isFaultedBack() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
      let pfns = try await self.read(
        machine, range, owner: PagemapOwner("another"), flags: HMMPFN.requestFault)
      #expect(machine.device.faults == 1)
      #expect(try pfns[0].pfn == machine.frame(range))
      #expect(machine.location(range).isRAM)
    }
  }

  @Test func requestFault_fillsHoles_andRequestWrite_makesThemWritable() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      let readable = try await self.read(machine, range, flags: HMMPFN.requestFault)
      #expect(readable.allSatisfy { $0.isValid && !$0.isWritable })
      // R54: without a fault request it counts for nothing.
      let same = try await self.read(machine, range, flags: HMMPFN.requestWrite)
      #expect(same.allSatisfy { $0.isValid && !$0.isWritable })
      let writable = try await self.read(
        machine, range, flags: HMMPFN.requestFault | HMMPFN.requestWrite)
      #expect(writable.allSatisfy { $0.isWritable })
      #expect(machine.space.counters.residentPages == 2)
    }
  }

  @Test func perPageRequests_faultOnlyWhatIsAsked() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3, filled: false)
      var requests = [HMMPFN](repeating: .none, count: 3)
      requests[1] = HMMPFN(rawValue: HMMPFN.requestWrite | HMMPFN.requestFault)
      let pfns = try await self.read(
        machine, range, mask: HMMPFN.requestFault | HMMPFN.requestWrite, requests: requests)
      #expect(pfns.map(\.isValid) == [false, true, false])
      // A mask of zero ignores the array's bits (X07).
      let ignored = try await self.read(machine, range, requests: requests)
      #expect(ignored.map(\.isValid) == [false, true, false])
      #expect(machine.space.counters.residentPages == 1)
    }
  }

  @Test func writeRequest_onAReadOnlyMapping_isEPERM() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1, .read, filled: false)
      await expectThrows(KernelError.EPERM) {
        try await self.read(
          machine, range, flags: HMMPFN.requestFault | HMMPFN.requestWrite)
      }
    }
  }

  @Test func H05_R55_requiredButUnusable_isEFAULT_elseAnErrorEntry() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = VirtualAddress(0x10_0000)
      _ = try await machine.space.map(bytes: 4096, .none, at: start, name: "none")
      _ = try await machine.space.map(bytes: 4096, .readWrite, at: start + 4096, flags: .special)
      let range = VirtualRange(start: start, pages: 3)
      let pfns = try await self.read(machine, range)
      #expect(pfns.allSatisfy { $0.isError && !$0.isValid })
      for page in 0..<3 {
        await expectThrows(KernelError.EFAULT) {
          try await self.read(
            machine, range.subrange(page..<page + 1), flags: HMMPFN.requestFault)
        }
      }
    }
  }

  @Test func faultThatFails_isEFAULT() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      try await machine.device.take(machine.space, range)
      machine.device.answer = .sigbus(.EIO)
      await expectThrows(KernelError.EFAULT) {
        try await self.read(machine, range, flags: HMMPFN.requestFault)
      }
      machine.device.answer = nil
    }
  }

  @Test func R52_changeSinceTheSequence_isEBUSY() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let notifier = try machine.space.insertNotifier(range, Mirror())
      var request = HMMRange(
        notifier: notifier, sequence: await notifier.readBegin(), range: range, owner: nil)
      try await machine.space.discard(range)
      await machine.space.mmapLock.lockShared()
      await expectThrows(KernelError.EBUSY) { try await machine.space.hmmRangeFault(&request) }
      machine.space.mmapLock.unlockShared()
      machine.kernel.failures.arm(.hmmRetry, .nth(1))
      _ = try await self.read(machine, range)
      await notifier.remove()
    }
  }

  @Test func wrongArrayOrEnds_areEINVAL() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      await expectThrows(KernelError.EINVAL) {
        try await self.read(machine, range, requests: [.none])
      }
    }
  }

  @Test(arguments: UInt64(0)..<30)
  func requiredPageThatMoves_isWaitedFor(seed: UInt64) throws {
    let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
    try machine.run("seed \(seed)") {
      let range = try await machine.map(pages: 3)
      let mover = machine.kernel.spawn("mover") {
        do { try await machine.device.take(machine.space, range) } catch {
          Issue.record("\(error)")
        }
      }
      let pfns = try await self.read(
        machine, range, owner: machine.device.owner, flags: HMMPFN.requestFault)
      #expect(pfns.allSatisfy { $0.isValid }, "seed \(seed)")
      await mover.join()
      try await machine.expectPattern(range)
      await machine.mm.drainLRUOfAllCPUs()
    }
  }
}
