import Base
import KernelRuntime
import LinuxMM
import Testing

/// Forks, moves, truncations and exits against migrations, in random orders.
@Suite struct ProcessRaceTests {
  private func spawn(
    _ machine: TestMachine, _ name: String, _ body: @escaping () async throws -> Void
  ) -> KernelTask {
    machine.kernel.spawn(name) {
      do { try await body() } catch { Issue.record("\(name): \(error)") }
    }
  }

  @Test(arguments: UInt64(0)..<30)
  func childrenMoveTheirPages_whileTheParentMigratesThem(seed: UInt64) throws {
    let machine = try TestMachine(devicePages: 16, choices: RandomWalkChoices(seed: seed))
    try machine.run("seed \(seed)") {
      let range = try await machine.map(pages: 5)
      let mover = self.spawn(machine, "mover") {
        for _ in 0..<5 {
          try await machine.device.take(machine.space, range)
          try await machine.device.evict()
        }
      }
      let children = (0..<3).map { number in
        self.spawn(machine, "child \(number)") {
          let child = try await machine.space.fork("child \(number)")
          let start = try await child.remap(
            range.start, oldBytes: range.bytes, newBytes: range.bytes, [.mayMove, .fixed],
            to: VirtualAddress(0x5000_0000))
          for page in 0..<5 {
            let here = start + UInt64(page) << 12
            #expect(try await child.read(here) == TestMachine.word(page), "seed \(seed)")
            try await child.write(here, UInt64(number))
            #expect(try await child.read(here) == UInt64(number), "seed \(seed)")
          }
          await child.exit()
        }
      }
      for _ in 0..<3 { try await machine.expectPattern(range, "seed \(seed)") }
      await mover.join()
      for child in children { await child.join() }
      try await machine.expectPattern(range, "seed \(seed)")
      await machine.mm.drainLRUOfAllCPUs()
    }
  }

  @Test(arguments: UInt64(0)..<30)
  func truncationAndWriteBack_againstWritersAndMigration_keepEveryCount(seed: UInt64) throws {
    let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
    try machine.run("seed \(seed)") {
      let file = try await FileMappingTests.file(machine, pages: 4)
      let range = try await FileMappingTests.map(machine.space, file, pages: 4, shared: true)
      let copies = try await FileMappingTests.map(machine.space, file, pages: 4, shared: false)
      /// Writes and reads; a page beyond the end of the moment is SIGBUS, nothing else is.
      func use(_ address: VirtualAddress, _ word: UInt64) async throws {
        do throws(AccessError) {
          try await machine.space.store(address, word.bytes)
          _ = try await machine.space.load(address, count: 8)
        } catch {
          #expect(error == .sigbus(address, .EINVAL), "seed \(seed)")
        }
      }
      let writers = [range, copies].map { range in
        self.spawn(machine, "writer") {
          for turn in 0..<12 { try await use(range.page(turn % 4), UInt64(turn)) }
        }
      }
      let cutter = self.spawn(machine, "cutter") {
        for pages in [1, 4, 0, 4] as [UInt64] {
          try await file.truncate(to: pages << 12)
          try await file.punchHole(4096..<8192)
          try await file.writeBack()
        }
      }
      let mover = self.spawn(machine, "mover") {
        for _ in 0..<4 {
          try await machine.device.take(machine.space, range)
          try await machine.device.take(machine.space, copies)
        }
      }
      let child = try await machine.space.fork("child")
      for page in 0..<4 {
        _ = try? await child.read(copies.page(page))
        _ = try? await child.write(range.page(page), 3)
      }
      await child.exit()
      for task in writers + [cutter, mover] { await task.join() }
      // What is written last is what the disk gets.
      for page in 0..<4 { try await machine.write(range.page(page), UInt64(page + 80)) }
      try await file.writeBack()
      for page in 0..<4 {
        #expect(file.stored(UInt64(page) << 12, count: 8) == UInt64(page + 80).bytes)
      }
      try await FileMappingTests.end(machine, file)
    }
  }
}
