import Base
import KernelRuntime
import LinuxMM
import Testing

/// What the kernel's own unit tests of userfaultfd check, under their names.
@Suite struct UserfaultTests {
  private static func page(_ word: UInt64) -> [UInt8] {
    word.bytes + [UInt8](repeating: 0, count: 4088)
  }

  /// Serves faults until the descriptor is closed; `serve` gets page and kind.
  private func handle(
    _ machine: TestMachine, _ watch: Userfault,
    _ serve: @escaping (VirtualAddress, Userfault.Mode) async throws -> Void
  ) -> KernelTask {
    machine.kernel.spawn("handler") {
      do {
        while let message = await watch.read() {
          guard case .pageFault(let address, let kind, _) = message else { continue }
          try await serve(address, kind)
        }
      } catch { Issue.record("\(error)") }
    }
  }

  @Test("uffd-unit-tests: register-ioctls")
  func registration_saysWhatIsPossible() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      let watch = try machine.space.openUserfault()
      let basic: Set<Userfault.Operation> = [.wake, .copy, .zeroPage, .move, .poison]
      #expect(try await watch.register(range, .missing) == basic)
      #expect(
        try await watch.register(range, [.missing, .writeProtect])
          == basic.union([.writeProtect]))
      try await watch.unregister(range)
      let start = try await machine.space.map(
        bytes: 4096, .readWrite, flags: [.anonymous, .shared])
      let shared = VirtualRange(start: start, pages: 1)
      #expect(try await watch.register(shared, .minor) == basic.union([.resume]))
      await watch.close()
    }
  }

  @Test func badRegistrations_areRefused() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      let watch = try machine.space.openUserfault()
      await expectThrows(KernelError.EINVAL) { try await watch.register(range, []) }
      await expectThrows(KernelError.EINVAL) { try await watch.register(range, .minor) }
      await expectThrows(KernelError.EINVAL) {
        try await watch.register(VirtualRange(range.start + 1, range.end), .missing)
      }
      await expectThrows(KernelError.EINVAL) {
        try await watch.register(VirtualRange(start: VirtualAddress(0x10000), pages: 1), .missing)
      }
      await expectThrows(KernelError.EINVAL) {
        try machine.space.openUserfault(Userfault.Features(rawValue: 1 << 30))
      }
      try await watch.register(range, .missing)
      let other = try machine.space.openUserfault()
      await expectThrows(KernelError.EBUSY) { try await other.register(range, .missing) }
      await watch.close()
      try await other.register(range, .missing)
      await other.close()
      await expectThrows(KernelError.EBADF) { try await other.register(range, .missing) }
    }
  }

  @Test func missingPages_areServedByTheHandler() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4, filled: false)
      let watch = try machine.space.openUserfault()
      try await watch.register(range, .missing)
      let handler = self.handle(machine, watch) { address, kind in
        #expect(kind == .missing)
        let page = Int(address.rawValue - range.start.rawValue) >> 12
        try await watch.copy(address, Self.page(TestMachine.word(page)))
      }
      try await machine.expectPattern(range)
      try await machine.write(range.start, 5)
      #expect(try await machine.read(range.start) == 5)
      await watch.close()
      await handler.join()
    }
  }

  @Test("uffd-unit-tests: zeropage")
  func zeroPage_fillsOnceOnly() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      let watch = try machine.space.openUserfault()
      await expectThrows(KernelError.ENOENT) { try await watch.zeroPages(range) }
      try await watch.register(range, .missing)
      #expect(try await watch.zeroPages(range) == 2)
      await expectThrows(KernelError.EEXIST) { try await watch.zeroPages(range) }
      #expect(try await machine.read(range.page(1)) == 0)
      try await machine.write(range.page(1), 3)
      #expect(try await machine.read(range.page(1)) == 3)
      await watch.close()
    }
  }

  @Test func copy_stopsAtTheFirstFilledPlace() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3, filled: false)
      try await machine.fill(range, 2)
      let watch = try machine.space.openUserfault()
      try await watch.register(range, .missing)
      let bytes = (0..<3).flatMap { Self.page(UInt64($0) + 50) }
      #expect(try await watch.copy(range.start, bytes) == 2)
      #expect(try await machine.read(range.page(1)) == 51)
      #expect(try await machine.read(range.page(2)) == TestMachine.word(2))
      await expectThrows(KernelError.EINVAL) { try await watch.copy(range.start, [1]) }
      await expectThrows(KernelError.EINVAL) {
        try await watch.copy(range.start, Self.page(1), isProtected: true)
      }
      await watch.close()
    }
  }

  @Test("uffd-unit-tests: move")
  func move_takesPagesAlong() throws {
    let machine = try TestMachine(swapPages: 8)
    try machine.run {
      let source = try await machine.map(pages: 4, name: "source")
      let target = try await machine.map(pages: 4, filled: false, name: "target")
      let watch = try machine.space.openUserfault(.move)
      try await watch.register(target, .missing)
      try await machine.space.swapOut(source.subrange(1..<2))
      let page = try machine.frame(source)
      let handler = self.handle(machine, watch) { address, _ in
        let page = Int(address.rawValue - target.start.rawValue) >> 12
        try await watch.move(from: source.subrange(page..<page + 1), to: address)
      }
      try await machine.expectPattern(target)
      #expect(try machine.frame(target) == page)
      #expect((0..<4).allSatisfy { machine.location(source, $0) == .none })
      await expectThrows(KernelError.ENOENT) {
        try await machine.space.discard(target)
        return try await watch.move(from: source, to: target.start)
      }
      #expect(try await watch.move(from: source, to: target.start, allowsHoles: true) == 4)
      await watch.close()
      await handler.join()
    }
  }

  @Test func move_refusesWhatOthersUse() throws {
    let machine = try TestMachine()
    try machine.run {
      let source = try await machine.map(pages: 3, name: "source")
      let target = try await machine.map(pages: 3, filled: false, name: "target")
      let watch = try machine.space.openUserfault(.move)
      await expectThrows(KernelError.EINVAL) {
        try await watch.move(from: source, to: target.start)
      }
      try await watch.register(target, .missing)
      let pinned = try await machine.space.pin(source.start, pages: 1, write: true)
      await expectThrows(KernelError.EBUSY) {
        try await watch.move(from: source, to: target.start)
      }
      machine.space.unpin(pinned)
      try await machine.device.take(machine.space, source.subrange(1..<2))
      await expectThrows(KernelError.EFAULT) {
        try await watch.move(from: source.subrange(1..<2), to: target.start)
      }
      let child = try await machine.space.fork("child")
      await expectThrows(KernelError.EBUSY) {
        try await watch.move(from: source.subrange(2..<3), to: target.start)
      }
      try await watch.zeroPages(target.subrange(0..<1))
      await expectThrows(KernelError.EEXIST) {
        try await watch.move(from: source.subrange(2..<3), to: target.start)
      }
      #expect(try await child.load(source.page(2), count: 8) == TestMachine.word(2).bytes)
      try await machine.expectPattern(source)
      await watch.close()
    }
  }

  /// The protection of a page that is forked: `keeps` says whether the child has it too.
  private func forkProtected(_ event: Bool, pinned: Bool) throws {
    let machine = try TestMachine(swapPages: 8)
    try machine.run {
      let range = try await machine.map(pages: 2)
      let watch = try machine.space.openUserfault(event ? [.eventFork] : [])
      try await watch.register(range, .writeProtect)
      try await watch.protect(range, true)
      let pin = pinned ? try await machine.space.pin(range.start, pages: 1, write: false) : nil
      try await machine.space.swapOut(range.subrange(1..<2))
      var descriptor: Userfault?
      let reader = machine.kernel.spawn("reader") {
        guard event, case .fork(let child)? = await watch.read() else { return }
        descriptor = child
      }
      let child = try await machine.space.fork("child")
      await reader.join()
      #expect((descriptor != nil) == event)
      for page in 0..<2 {
        #expect(machine.space.entry(at: range.page(page)).isUserfaultWriteProtected)
        #expect(child.entry(at: range.page(page)).isUserfaultWriteProtected == event)
      }
      if let pin { machine.space.unpin(pin) }
      await descriptor?.close()
      #expect(!child.entry(at: range.start).isUserfaultWriteProtected)
      try await child.store(range.start, [1])
      try await watch.protect(range, false)
      try await machine.write(range.start, 2)
      #expect(try await child.load(range.start, count: 1) == [1])
      await watch.close()
    }
  }

  @Test("uffd-unit-tests: wp-fork")
  func fork_leavesTheChildUnprotected() throws { try forkProtected(false, pinned: false) }

  @Test("uffd-unit-tests: wp-fork-with-event")
  func forkEvent_keepsTheChildProtected() throws { try forkProtected(true, pinned: false) }

  @Test("uffd-unit-tests: wp-fork-pin")
  func forkOfAPinnedPage_leavesTheCopyUnprotected() throws {
    try forkProtected(false, pinned: true)
  }

  @Test("uffd-unit-tests: wp-fork-pin-with-event")
  func forkOfAPinnedPage_withEvent_keepsTheCopyProtected() throws {
    try forkProtected(true, pinned: true)
  }

  /// A huge page is split on the way, and its bytes all arrive.
  private func moveHuge(_ pages: Range<Int>) throws {
    let machine = try TestMachine(ramPages: 4096)
    machine.mm.hugePages = .always
    try machine.run {
      let bytes = UInt64(PageSize.hugeBytes)
      let source = VirtualRange(
        start: try await machine.space.map(
          bytes: bytes, .readWrite, at: VirtualAddress(bytes * 8), name: "source"),
        bytes: bytes)
      let target = VirtualRange(
        start: try await machine.space.map(
          bytes: bytes, .readWrite, at: VirtualAddress(bytes * 16), name: "target"),
        bytes: bytes)
      try await machine.fill(source, 0)
      #expect(machine.space.isMappedHuge(source.start))
      for page in 0..<512 { try await machine.fill(source, page) }
      let watch = try machine.space.openUserfault(.move)
      try await watch.register(target, .missing)
      let part = source.subrange(pages)
      #expect(
        try await watch.move(from: part, to: target.page(pages.lowerBound)) == pages.count)
      try machine.check("after the move")
      for page in stride(from: 0, to: 512, by: 37) {
        let here = pages.contains(page) ? target : source
        #expect(try await machine.read(here.page(page)) == TestMachine.word(page))
      }
      await watch.close()
    }
  }

  @Test("uffd-unit-tests: move-pmd")
  func move_ofAWholeHugePage() throws { try moveHuge(0..<512) }

  @Test("uffd-unit-tests: move-pmd-split")
  func move_ofAPartOfAHugePage() throws { try moveHuge(100..<300) }

  @Test("uffd-unit-tests: wp-unpopulated")
  func emptyPlaces_areProtectedOnRequest() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4, filled: false)
      let watch = try machine.space.openUserfault(.writeProtectUnpopulated)
      try await watch.register(range, .writeProtect)
      try await watch.protect(range, true)
      #expect(machine.location(range) == .marker)
      // A read maps the zero page, still protected; DONTNEED forgets the protection.
      #expect(try await machine.read(range.start) == 0)
      #expect(machine.space.entry(at: range.start).isUserfaultWriteProtected)
      try await watch.protect(range.subrange(1..<2), false)
      #expect(machine.location(range, 1) == .none)
      try await machine.space.discard(range.subrange(2..<3))
      #expect(machine.location(range, 2) == .none)
      var served = 0
      let handler = self.handle(machine, watch) { address, kind in
        #expect(kind == .writeProtect)
        served += 1
        try await watch.protect(VirtualRange(start: address, pages: 1), false)
      }
      for page in 0..<4 { try await machine.fill(range, page) }
      try await machine.expectPattern(range)
      #expect(served == 2)
      await watch.close()
      await handler.join()
    }
  }

  @Test("uffd-unit-tests: minor")
  func minorFaults_ofSharedMemory() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = try await machine.space.map(
        bytes: 8192, .readWrite, flags: [.anonymous, .shared])
      let range = VirtualRange(start: start, pages: 2)
      try await machine.fill(range, 0)
      // The page stays in shared memory when this process's entry goes.
      try await machine.space.discard(range)
      let watch = try machine.space.openUserfault(.minorSharedMemory)
      try await watch.register(range, .minor)
      var served = 0
      let handler = self.handle(machine, watch) { address, kind in
        #expect(kind == .minor)
        served += 1
        try await watch.resume(VirtualRange(start: address, pages: 1))
      }
      #expect(try await machine.read(range.start) == TestMachine.word(0))
      try await machine.write(range.start, 7)
      #expect(try await machine.read(range.page(1)) == 0)
      #expect(served == 1)
      try await machine.space.discard(range.subrange(0..<1))
      await watch.close()
      await handler.join()
      #expect(try await machine.read(range.start) == 7)
    }
  }

  @Test func missingPagesOfSharedMemory_areFilledForAll() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = try await machine.space.map(
        bytes: 4096, .readWrite, flags: [.anonymous, .shared])
      let range = VirtualRange(start: start, pages: 1)
      let watch = try machine.space.openUserfault()
      try await watch.register(range, .missing)
      await expectThrows(KernelError.EFAULT) {
        try await machine.space.hmmFault(range)
      }
      try await watch.copy(start, Self.page(8))
      #expect(try await machine.read(start) == 8)
      await expectThrows(KernelError.EEXIST) { try await watch.copy(start, Self.page(9)) }
      await watch.close()
    }
  }
}

extension AddressSpace {
  /// Looks a range up for a device, requiring every page.
  func hmmFault(_ range: VirtualRange) async throws {
    let notifier = try insertNotifier(range, QuietMirror())
    var request = HMMRange(
      notifier: notifier, sequence: await notifier.readBegin(), range: range, owner: nil,
      defaultFlags: HMMPFN.requestFault)
    await mmapLock.lockShared()
    var failure: KernelError?
    do throws(KernelError) { try await hmmRangeFault(&request) } catch { failure = error }
    mmapLock.unlockShared()
    await notifier.remove()
    if let failure { throw failure }
  }
}
