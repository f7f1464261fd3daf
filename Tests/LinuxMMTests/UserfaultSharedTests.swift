import Base
import KernelRuntime
import LinuxMM
import Testing

/// Write protection of shared memory by a userfaultfd: the file has the pages, so the protection
/// stays with the places.
@Suite struct UserfaultSharedTests {
  /// Four pages of shared memory, the first two written, of a process and a child that sees them;
  /// watched so that a write that is protected gets SIGBUS.
  private func run(
    _ body:
      @escaping (TestMachine, Userfault, VirtualRange, _ child: AddressSpace) async throws -> Void
  ) throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      let start = try await machine.space.map(
        bytes: 4 << 12, .readWrite, flags: [.anonymous, .shared])
      let range = VirtualRange(start: start, pages: 4)
      for page in 0..<2 { try await machine.fill(range, page) }
      let child = try await machine.space.fork("child")
      let watch = try machine.space.openUserfault([.sigbus, .writeProtect])
      let possible = try await watch.register(range, .writeProtect)
      #expect(possible.contains(.writeProtect))
      try await watch.protect(range, true)
      try await body(machine, watch, range, child)
      await child.exit()
      await machine.space.exit()
      await machine.mm.drainLRUOfAllCPUs()
      #expect(machine.mm.usedSwapPages == 0)
    }
  }

  private func expectGuarded(_ machine: TestMachine, _ address: VirtualAddress) async {
    await expectThrows(AccessError.sigbus(address, .EFAULT)) { try await machine.write(address, 1) }
  }

  @Test func writesAreStopped_readsAreNot_andOthersWriteOn() throws {
    try run { machine, watch, range, child in
      for page in 0..<4 {
        await self.expectGuarded(machine, range.page(page))
        #expect(try await machine.read(range.page(page)) == (page < 2 ? TestMachine.word(page) : 0))
        await self.expectGuarded(machine, range.page(page))
        try await child.write(range.page(page), 70 + UInt64(page))
        #expect(try await machine.read(range.page(page)) == 70 + UInt64(page))
      }
      try await watch.protect(range, false)
      for page in 0..<4 { try await machine.write(range.page(page), 5) }
      #expect(try await child.read(range.page(3)) == 5)
    }
  }

  @Test func protection_outlivesTheEntry() throws {
    try run { machine, watch, range, _ in
      // Dropped, swapped out: the bytes come back, and the place is protected still.
      try await machine.space.discard(range)
      #expect(machine.location(range) == .marker)
      await self.expectGuarded(machine, range.start)
      #expect(try await machine.read(range.start) == TestMachine.word(0))
      await machine.mm.drainLRUOfAllCPUs()
      while await machine.mm.reclaim(pages: 8) > 0 {}
      #expect(machine.location(range) == .marker)
      #expect(machine.mm.usedSwapPages == 2)
      await self.expectGuarded(machine, range.start)
      #expect(try await machine.read(range.start) == TestMachine.word(0))
      await watch.close()
      try await machine.write(range.start, 8)
      #expect(try await machine.read(range.start) == 8)
    }
  }

  @Test func unmapping_endsIt_andAChildIsNotWatched() throws {
    try run { machine, _, range, _ in
      let second = try await machine.space.fork("second")
      try await second.write(range.start, 9)
      #expect(try await machine.read(range.start) == 9)
      await second.exit()
      try await machine.space.unmap(range.subrange(0..<1))
      _ = try await machine.space.map(bytes: 4096, .readWrite, at: range.start)
      try await machine.write(range.start, 3)
    }
  }

  @Test func move_keepsItWithTheEventAlone() throws {
    for features in [[.sigbus, .eventRemap], .sigbus] as [Userfault.Features] {
      let machine = try TestMachine()
      try machine.run {
        let range = try await machine.map(pages: 2)
        let watch = try machine.space.openUserfault(features)
        try await watch.register(range, .writeProtect)
        try await watch.protect(range.subrange(0..<1), true)
        let reader = machine.kernel.spawn("handler") { while await watch.read() != nil {} }
        let start = try await machine.space.remap(
          range.start, oldBytes: range.bytes, newBytes: range.bytes, [.mayMove, .fixed],
          to: range.start + 0x100_0000)
        let moved = VirtualRange(start: start, pages: 2)
        try await machine.expectPattern(moved)
        if features.contains(.eventRemap) {
          await self.expectGuarded(machine, moved.start)
        } else {
          try await machine.write(moved.start, 1)
        }
        try await machine.write(moved.page(1), 1)
        await watch.close()
        await reader.join()
      }
    }
  }

  @Test("uffd-unit-tests: minor-wp")
  func minorFaults_withProtection() throws {
    let machine = try TestMachine()
    try machine.run {
      let start = try await machine.space.map(
        bytes: 4096, .readWrite, flags: [.anonymous, .shared])
      let range = VirtualRange(start: start, pages: 1)
      try await machine.fill(range, 0)
      try await machine.space.discard(range)
      let watch = try machine.space.openUserfault([.minorSharedMemory, .writeProtect])
      try await watch.register(range, [.minor, .writeProtect])
      var served: [Userfault.Mode] = []
      let handler = machine.kernel.spawn("handler") {
        while let message = await watch.read() {
          guard case .pageFault(_, let kind, _) = message else { continue }
          served.append(kind)
          do throws(KernelError) {
            if kind == .minor {
              try await watch.resume(range, isProtected: true)
            } else {
              try await watch.protect(range, false)
            }
          } catch { Issue.record("\(error)") }
        }
      }
      try await machine.write(start, 7)
      #expect(served == [.minor, .writeProtect])
      #expect(try await machine.read(start) == 7)
      await watch.close()
      await handler.join()
    }
  }

  @Test func copy_mayProtectWhatItFills() throws {
    try run { machine, watch, range, child in
      let bytes = UInt64(6).bytes + [UInt8](repeating: 0, count: 4088)
      try await watch.copy(range.page(2), bytes, isProtected: true)
      #expect(try await machine.read(range.page(2)) == 6)
      await self.expectGuarded(machine, range.page(2))
      #expect(try await child.read(range.page(2)) == 6)
      try await watch.copy(range.page(3), bytes)
      try await machine.write(range.page(3), 4)
    }
  }
}
