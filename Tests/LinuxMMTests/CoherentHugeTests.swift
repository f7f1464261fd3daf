import Base
import KernelRuntime
import LinuxMM
import Testing

/// Huge pages in coherent device memory: one ordinary huge entry maps what CPU and device share.
@Suite struct CoherentHugeTests {
  static let pages = HugePage.pages
  static let back: MigrateSelect = [.deviceCoherent, .compound]

  /// A machine with a coherent device beside its private one, and a huge page on it.
  private func run(
    ramPages: Int = 4096, filled: Bool = true,
    _ body: @escaping (TestMachine, TestDevice, VirtualRange) async throws -> Void
  ) throws {
    let machine = try TestMachine.huge(ramPages: ramPages, devicePages: 1)
    let device = try TestDevice(machine.mm, "coherent", pages: 1024, kind: .deviceCoherent)
    try machine.run {
      let range = try await machine.mapHuge(step: 50, filled: filled)
      if filled {
        #expect(try await device.takeHuge(machine.space, range).count == 1)
        try #require(machine.isHuge(range))
        try #require(device.range.contains(try machine.frame(range)))
      }
      try await body(machine, device, range)
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  /// Moves what a selection takes back to RAM.
  private func bringBack(
    _ machine: TestMachine, _ device: TestDevice, _ range: VirtualRange,
    _ select: MigrateSelect = back
  ) async throws -> [MigratePFN] {
    try await device.move(machine.space, range, select) { pages in
      do { try device.copyToRAM(pages) } catch { Issue.record("\(error)") }
    }
  }

  @Test func cpuAndDevice_shareTheBytes() throws {
    try run { machine, device, range in
      let page = try machine.frame(range, 9)
      try await machine.write(range.page(9), 0x77)
      #expect(device.word(page) == 0x77)
      device.memory.store(UInt64(0x88), at: device.offset(page))
      #expect(try await machine.read(range.page(9)) == 0x88)
      #expect(device.faults == 0 && machine.space.counters.deviceFaults == 0)
      #expect(machine.space.counters.residentPages == Self.pages)
      #expect(machine.space.counters.devicePages == 0)
      #expect(machine.mm.isHuge(page) && machine.mm.isDeviceCoherent(page))
      #expect(!machine.mm.isOnLRU(page), "device memory is on no LRU list (V02)")
      #expect(device.pagemap.references == Self.pages)
    }
  }

  @Test func itComesBackWhole_orInParts_whenItsOwnerAsks() throws {
    try run { machine, device, range in
      #expect(try await self.bringBack(machine, device, range, [.system, .compound]).isEmpty)
      #expect(machine.space.why(range.page(5))?.kind == .devicePage)
      #expect(machine.space.why(range.page(5), select: Self.back)?.kind == .foreignOwner)
      #expect(machine.space.why(range.page(5), select: Self.back, owner: device.owner) == nil)
      let moved = try await self.bringBack(machine, device, range)
      #expect(moved.count == 1 && moved[0].isCompound && machine.isHuge(range))
      #expect(try machine.mm.isSystemPage(machine.frame(range)))
      #expect(device.pagemap.references == 0 && machine.mm.hugeCounters.splits == 0)
      try await device.takeHuge(machine.space, range)
      // Without the newer rules a driver sees base pages, as in RAM.
      let parts = try await self.bringBack(machine, device, range.subrange(3..<9), .deviceCoherent)
      #expect(parts.count == 6 && device.splits.count == 1 && !machine.isHuge(range))
      #expect(try machine.mm.isSystemPage(machine.frame(range, 8)))
      #expect(try device.range.contains(machine.frame(range, 9)))
      try await machine.expectPattern(range, step: 50)
      #expect(try await device.evict() == 0)
      try await machine.expectPattern(range, step: 50)
    }
  }

  @Test func eviction_takesItWhole() throws {
    try run { machine, device, range in
      #expect(try await device.evict() == 0)
      #expect(try machine.isHuge(range) && machine.mm.isSystemPage(machine.frame(range)))
      try await machine.expectPattern(range, step: 50)
    }
  }

  @Test func emptyAndZeroPlaces_areFilledAsOne() throws {
    try run(filled: false) { machine, device, range in
      let other = try await machine.mapHuge(filled: false)
      #expect(try await machine.read(other.start) == 0)
      for range in [range, other] {
        #expect(try await device.takeHuge(machine.space, range).count == 1)
        #expect(try machine.isHuge(range) && device.range.contains(machine.frame(range)))
        try await machine.write(range.page(4), 6)
        #expect(try device.word(machine.frame(range, 4)) == 6)
        #expect(try await machine.read(range.page(5)) == 0)
      }
      #expect(machine.space.counters.residentPages == 2 * Self.pages)
      #expect(machine.space.counters.devicePages == 0)
    }
  }

  @Test func aShortPin_keepsItThere() throws {
    try run { machine, device, range in
      let mm = machine.mm
      let pinned = try await machine.space.pinUserPages(range.page(5), pages: 3, .write)
      let fast = try await machine.space.pinUserPagesFast(range.page(6), pages: 1)
      #expect(fast.pfns == [pinned.pfns[1]] && device.range.contains(pinned.pfns[0]))
      #expect(mm.pinCount(pinned.pfns[2]) == 4 && mm.referenceReport(pinned.pfns[0]).pins == 4)
      #expect(try await self.bringBack(machine, device, range).isEmpty)
      let reason = machine.space.why(range.page(100), select: Self.back, owner: device.owner)
      #expect(reason?.kind == .pinned)
      #expect(reason?.use == PageUse(references: 5, expected: 1, mappings: 1, pins: 4))
      // A child gets a copy of what is pinned; the device keeps the parent's page.
      let child = try await machine.space.fork("child")
      try await machine.write(range.page(5), 3)
      #expect(device.word(pinned.pfns[0]) == 3)
      #expect(try await child.read(range.page(5)) == 0)
      await child.exit()
      mm.release(fast)
      mm.unpin(pinned)
      // Mapped in parts since the fork, it is passed over as in RAM, until somebody splits it.
      #expect(try await self.bringBack(machine, device, range).isEmpty)
      let since = machine.space.why(range.page(100), select: Self.back, owner: device.owner)
      #expect(since?.kind == .splitFailed)
      #expect(try await device.evict() == 0)
      #expect(try await machine.read(range.page(50)) == TestMachine.word(50))
    }
  }

  enum Room { case huge, parts }

  @Test(arguments: [Room.huge, .parts])
  func aLongPin_movesItOut(room: Room) throws {
    try run { machine, device, range in
      if room == .parts { machine.kernel.failures.arm(.hugeAlloc, .always) }
      let pinned = try await machine.space.pinUserPages(range.page(49), pages: 3, .longTerm)
      machine.kernel.failures.disarm()
      #expect(pinned.pfns.allSatisfy { machine.mm.isSystemPage($0) } && pinned.count == 3)
      #expect(
        machine.mm.ram.load(UInt64.self, at: pinned.pfns[1].index << 12)
          == TestMachine.word(50))
      #expect(machine.isHuge(range) == (room == .huge))
      #expect(device.pagemap.references == 0 && device.free.count == 1024)
      machine.mm.unpin(pinned)
      try await machine.expectPattern(range, step: 50)
    }
  }

  @Test func aLongPin_ofPartsOfIt_movesThose() throws {
    try run { machine, device, range in
      try await machine.space.protect(range.subrange(0..<1), .read)
      #expect(try !machine.isHuge(range) && machine.mm.isHuge(machine.frame(range)))
      let pinned = try await machine.space.pinUserPagesFast(range.page(50), pages: 2, .longTerm)
      #expect(pinned.pfns.allSatisfy { machine.mm.isSystemPage($0) })
      #expect(device.pagemap.references == Self.pages - 2)
      machine.mm.unpin(pinned)
      try await machine.expectPattern(range, step: 50)
    }
  }

  @Test func aLongPin_thatCantBe_isEBUSY_andPinsNothing() throws {
    try run { machine, device, range in
      let held = try await machine.space.getUserPages(range.page(5), pages: 1)
      await expectThrows(KernelError.EBUSY) {
        try await machine.space.pinUserPages(range.start, pages: 2, .longTerm)
      }
      machine.mm.release(held)
      machine.kernel.failures.arm(.hugeAlloc, .always)
      machine.kernel.failures.arm(.pageAlloc, .nth(100))
      await expectThrows(KernelError.EBUSY) {
        try await machine.space.pinUserPages(range.start, pages: 2, .longTerm)
      }
      machine.kernel.failures.disarm()
      #expect(machine.isHuge(range) && machine.mm.pinCount(held.pfns[0]) == 0)
      #expect(device.pagemap.references == Self.pages)
      try await machine.expectPattern(range, step: 50)
    }
  }

  @Test func fork_sharesIt_andTheWriterGetsABasePageOfRAM() throws {
    try run { machine, device, range in
      let page = try machine.frame(range, 50)
      let child = try await machine.space.fork("child")
      #expect(child.isMappedHuge(range.start) && machine.mm.mapCount(page) == 2)
      try await child.write(range.page(50), 5)
      guard case .ram(let copy) = child.entry(at: range.page(50)).location else {
        Issue.record("the child's page is \(child.entry(at: range.page(50)))")
        return
      }
      #expect(machine.mm.isSystemPage(copy) && machine.isHuge(range))
      #expect(try await machine.read(range.page(50)) == TestMachine.word(50))
      await child.exit()
      // Alone again, the parent writes in place.
      try await machine.write(range.page(50), 6)
      #expect(try machine.frame(range, 50) == page && device.word(page) == 6)
    }
  }

  @Test func partialUnmap_givesThePartBack() throws {
    try run { machine, device, range in
      try await machine.space.unmap(range.subrange(100..<300))
      #expect(device.splits.count == 1 && device.freed.count == 200)
      #expect(device.pagemap.references == Self.pages - 200)
      #expect(try await machine.read(range.page(50)) == TestMachine.word(50))
      #expect(try await machine.read(range.page(350)) == TestMachine.word(350))
    }
  }

  enum Failure: CaseIterable { case lock, collect, commit, driverGivesNothing }

  @Test(arguments: Failure.allCases)
  func aFailureOnTheWay_leavesItWhole(failure: Failure) throws {
    try run { machine, device, range in
      switch failure {
      case .lock: machine.kernel.failures.arm(.pageLock, .nth(1))
      case .collect: machine.kernel.failures.arm(.migrateCollect, .nth(1))
      case .commit: machine.kernel.failures.arm(.migrateCommit, .nth(1))
      case .driverGivesNothing: break
      }
      if failure == .driverGivesNothing {
        #expect(try await device.move(machine.space, range, Self.back) { _ in }.isEmpty)
      } else {
        #expect(try await self.bringBack(machine, device, range).isEmpty)
      }
      machine.kernel.failures.disarm()
      #expect(try machine.isHuge(range) && device.range.contains(machine.frame(range)))
      try await machine.expectPattern(range, step: 50)
    }
  }

  @Test func memoryFailure_losesOnePage() throws {
    try run { machine, device, range in
      let lost = try machine.frame(range, 50)
      #expect(await machine.mm.memoryFailure(lost))
      await expectThrows(AccessError.sigbus(range.page(50), .EHWPOISON)) {
        try await machine.read(range.page(50))
      }
      #expect(try await machine.read(range.page(100)) == TestMachine.word(100))
      #expect(device.pagemap.references == Self.pages - 1)
    }
  }

  @Test func reclaimAndCollapse_leaveItAlone() throws {
    try run { machine, device, range in
      try await machine.space.swapOut(range)
      #expect(machine.isHuge(range))
      try await machine.space.protect(range.subrange(0..<1), .read)
      try await machine.space.protect(range, .readWrite)
      try #require(!machine.isHuge(range))
      // Coherent memory is mapped as RAM is, but its bytes are elsewhere.
      await expectThrows(KernelError.EINVAL) { try await machine.space.collapse(range) }
      #expect(await machine.space.collapseBlock(range.start) == .notPresent)
      #expect(try device.range.contains(machine.frame(range)))
      try await machine.expectPattern(range, step: 50)
    }
  }

  @Test func aDevicesLookUp_saysThatItIsHuge() throws {
    try run { machine, device, range in
      let mirror = try MirrorDevice(machine.mm, "reader", kind: .devicePrivate, pages: 1)
      let reader = try mirror.open(machine.space)
      let shown = try await reader.snapshot(range)
      #expect(shown.allSatisfy { $0 == [.write, .remote, .pmd] })
      await reader.close()
    }
  }
}
