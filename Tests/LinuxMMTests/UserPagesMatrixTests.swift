import Base
import KernelRuntime
import LinuxMM
import Testing

/// Every kind of place against every way to hold its page.
@Suite struct UserPagesMatrixTests {
  enum Way: String, CaseIterable, Sendable { case slow, fast, fastOnly }
  enum Hold: String, CaseIterable, Sendable { case get, pin, longPin }

  private func hold(
    _ space: AddressSpace, _ address: VirtualAddress, _ way: Way, _ hold: Hold, write: Bool
  ) async throws(KernelError) -> UserPages {
    var flags: UserPageFlags = write ? .write : []
    if hold == .longPin { flags.insert(.longTerm) }
    if way == .fastOnly { flags.insert(.fastOnly) }
    if hold == .get {
      return way == .slow
        ? try await space.getUserPages(address, pages: 1, flags)
        : try await space.getUserPagesFast(address, pages: 1, flags)
    }
    return way == .slow
      ? try await space.pinUserPages(address, pages: 1, flags)
      : try await space.pinUserPagesFast(address, pages: 1, flags)
  }

  /// Whether the page can be had without a lock and without a fault.
  private func isFast(_ kind: PlaceKind, _ hold: Hold, write: Bool) -> Bool {
    switch kind {
    case .ram: true
    // A long pin may not stay in device memory.
    case .coherent: hold != .longPin
    // A write breaks the sharing, and a pin for reading too.
    case .shared: !write && hold == .get
    // The zero page is nobody's to hold without a look at the mapping.
    case .zero, .empty, .ownDevice, .foreignDevice, .swapped, .exclusive: false
    case .poisoned, .poisonMarker: false
    }
  }

  @Test(arguments: PlaceKind.allCases, Hold.allCases)
  func eachHold_ofEachKind(_ kind: PlaceKind, _ hold: Hold) throws {
    for way in Way.allCases {
      for write in [false, true] {
        let world = try PlaceWorld()
        try world.run(kind) { range in
          try await self.check(world, kind, range, way, hold, write: write)
        }
      }
    }
  }

  private func check(
    _ world: PlaceWorld, _ kind: PlaceKind, _ range: VirtualRange, _ way: Way, _ hold: Hold,
    write: Bool
  ) async throws {
    let (machine, space) = (world.machine, world.machine.space)
    let comment: Comment = "\(way) \(write ? "write" : "read")"
    let before = machine.location(range)
    if kind == .poisoned || kind == .poisonMarker, way != .fastOnly {
      await expectThrows(KernelError.EFAULT) {
        try await self.hold(space, range.start, way, hold, write: write)
      }
      return
    }
    let held = try await self.hold(space, range.start, way, hold, write: write)
    if way == .fastOnly && !isFast(kind, hold, write: write) {
      #expect(held.count == 0, comment)
      #expect(machine.location(range) == before, comment)
      return
    }
    try #require(held.count == 1, comment)
    let page = held.pfns[0]
    let isZero = page == MemoryManager.zeroPage
    // R42: device-private pages come back first; coherent ones stay, but for a long pin.
    #expect(isZero || machine.location(range) == .ram(page), comment)
    #expect(machine.mm.isSystemPage(page) == (kind != .coherent || hold == .longPin), comment)
    if isFast(kind, hold, write: write) { #expect(machine.location(range) == before, comment) }
    if !isZero {
      // R20: who holds a page keeps it from migrating, and the reason says so.
      await machine.mm.drainLRUOfAllCPUs()
      let select: MigrateSelect = [.system, .deviceCoherent]
      let why = space.why(range.start, select: select, owner: machine.device.owner)
      // A device page is allowed one reference more; the commit is what refuses then.
      let isUnseen = kind == .coherent && hold == .get
      #expect(why?.kind == (isUnseen ? nil : hold == .get ? .referenced : .pinned), comment)
      #expect(try await machine.device.take(space, range, select: select) == 0, comment)
      #expect(machine.location(range) == .ram(page), comment)
    }
    if hold == .get { machine.mm.release(held) } else { machine.mm.unpin(held) }
  }

  @Test func longTermReference_isEINVAL() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      for fast in [false, true] {
        await expectThrows(KernelError.EINVAL) {
          if fast {
            _ = try await machine.space.getUserPagesFast(range.start, pages: 1, .longTerm)
          } else {
            _ = try await machine.space.getUserPages(range.start, pages: 1, .longTerm)
          }
        }
      }
    }
  }

  @Test func poison_isToldByName_onRequest() throws {
    for kind in [PlaceKind.poisoned, .poisonMarker] {
      let world = try PlaceWorld()
      try world.run(kind) { range in
        await expectThrows(KernelError.EHWPOISON) {
          try await world.machine.space.pinUserPages(range.start, pages: 1, .reportPoison)
        }
      }
    }
  }
}
