import Base
import KernelRuntime
import LinuxMM
import Testing

/// Holds of hugetlb pages: short and long, fast and slow; and who refuses such a page.
@Suite struct HugetlbPinTests {
  private static let size = UInt64(PageSize.hugeBytes)

  private func get(
    _ space: AddressSpace, _ start: VirtualAddress, pages: Int, pin: Bool, fast: Bool,
    _ flags: UserPageFlags
  ) async throws(KernelError) -> UserPages {
    switch (pin, fast) {
    case (true, true): try await space.pinUserPagesFast(start, pages: pages, flags)
    case (true, false): try await space.pinUserPages(start, pages: pages, flags)
    case (false, true): try await space.getUserPagesFast(start, pages: pages, flags)
    case (false, false): try await space.getUserPages(start, pages: pages, flags)
    }
  }

  @Test(arguments: [false, true], [false, true])
  func holds_faultPagesIn_andCountOnTheFirst(pin: Bool, fast: Bool) throws {
    try withHugetlbPool(2) { machine in
      let (mm, space) = (machine.mm, machine.space)
      let start = try await space.mapHugetlb(bytes: 2 * Self.size, .readWrite)
      let flags: UserPageFlags = pin ? [.write, .longTerm] : .write
      let first = start + Self.size - 8192
      let held = try await self.get(space, first, pages: 4, pin: pin, fast: fast, flags)
      #expect(held.count == 4)
      #expect(held.pfns[1].index == held.pfns[0].index + 1)
      #expect(held.pfns[1].index & 511 == 511 && held.pfns[2].index & 511 == 0)
      for pfn in [held.pfns[0], held.pfns[2]] {
        #expect(mm.referenceCount(pfn) == 3 && mm.mapCount(pfn) == 1)
        #expect(mm.pinCount(pfn) == (pin ? 2 : 0))
        #expect(mm.isExclusive(mm.folio(of: pfn)))
      }
      try await space.unmap(VirtualRange(start: start, pages: 2 * HugePage.pages))
      #expect(mm.hugetlbCounters.free == 0)
      mm.release(held, dirty: true)
      #expect(mm.hugetlbCounters.free == 2)
    }
  }

  @Test func aPinnedPage_isCopiedForAChild_orThereIsNone() throws {
    try withHugetlbPool(2) { machine in
      let start = try await machine.space.mapHugetlb(bytes: Self.size, .readWrite)
      try await machine.write(start, 5)
      let pinned = try await machine.space.pinUserPages(start, pages: 1, [.write, .longTerm])
      let child = try await machine.space.fork("child")
      await expectThrows(KernelError.ENOMEM) { try await machine.space.fork("second") }
      try await machine.write(start, 6)
      #expect(machine.mm.ram.load(UInt64.self, at: pinned.pfns[0].index << 12) == 6)
      #expect(try await child.read(start) == 5)
      try await child.write(start, 7)
      #expect(try await machine.read(start) == 6)
      machine.mm.unpin(pinned)
    }
  }

  @Test func aReadPin_getsACopy_whileOthersSeeThePage() throws {
    try withHugetlbPool(2) { machine in
      let start = try await machine.space.mapHugetlb(bytes: Self.size, .readWrite)
      try await machine.write(start, 5)
      let child = try await machine.space.fork("child")
      let shared = machine.space.entry(at: start).location
      let reference = try await machine.space.getUserPages(start, pages: 1)
      #expect(machine.space.entry(at: start).location == shared)
      machine.mm.release(reference)
      let pinned = try await machine.space.pinUserPages(start, pages: 1)
      #expect(machine.space.entry(at: start).location == .ram(pinned.pfns[0]))
      #expect(child.entry(at: start).location == shared)
      try await machine.write(start, 6)
      #expect(machine.mm.ram.load(UInt64.self, at: pinned.pfns[0].index << 12) == 6)
      machine.mm.unpin(pinned)
    }
  }

  @Test func whatCantBeHad_isEFAULT() throws {
    try withHugetlbPool(1) { machine in
      let space = machine.space
      let start = try await space.mapHugetlb(bytes: Self.size, .read)
      // Forced writes need copies that can't be written.
      for flags in [.write, [.write, .force]] as [UserPageFlags] {
        await expectThrows(KernelError.EFAULT) {
          try await space.pinUserPages(start, pages: 1, flags)
        }
      }
      let child = try await space.fork("child")
      #expect(try await machine.read(start) == 0)
      // The child was promised nothing.
      await expectThrows(KernelError.EFAULT) { try await child.pinUserPages(start, pages: 1) }
      #expect(machine.mm.hugetlbCounters.free == 0)
    }
  }

  @Test func othersLeaveThePageAlone() throws {
    try withHugetlbPool(1) { machine in
      let (mm, space) = (machine.mm, machine.space)
      let start = try await space.mapHugetlb(bytes: Self.size, .readWrite)
      try await machine.write(start, 3)
      let range = VirtualRange(start: start, pages: 2)
      let page = try machine.frame(range)
      let pinned = try await space.pinUserPages(start, pages: 1)
      await expectThrows(KernelError.EINVAL) { try await machine.device.take(space, range) }
      #expect(space.why(start)?.kind == .hugetlb)
      await space.mmapLock.lockShared()
      await expectThrows(KernelError.EOPNOTSUPP) {
        try await space.makeDeviceExclusive(range, owner: machine.device.owner)
      }
      space.mmapLock.unlockShared()
      await expectThrows(KernelError.EBUSY) { try await mm.memoryFailure(ofRAM: page) }
      await expectThrows(KernelError.EBUSY) { try await mm.softOffline(page) }
      try await space.lockMemory(range)
      #expect(space.lockedPages == 0)
      #expect(try await machine.read(start) == 3)
      mm.unpin(pinned)
    }
  }
}
