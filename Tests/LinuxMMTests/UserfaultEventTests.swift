import Base
import KernelRuntime
import LinuxMM
import Testing

/// The second half of the kernel's unit tests of userfaultfd, and what meets devices.
@Suite struct UserfaultEventTests {
  private static func page(_ word: UInt64) -> [UInt8] {
    word.bytes + [UInt8](repeating: 0, count: 4088)
  }

  @Test("uffd-unit-tests: sigbus")
  func sigbusMode_hasNoHandler() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      let watch = try machine.space.openUserfault(.sigbus)
      try await watch.register(range, .missing)
      await expectThrows(AccessError.sigbus(range.start, .EFAULT)) {
        try await machine.read(range.start)
      }
      try await watch.copy(range.start, Self.page(4))
      #expect(try await machine.read(range.start) == 4)
      await watch.close()
      #expect(try await machine.read(range.page(1)) == 0)
    }
  }

  @Test("uffd-unit-tests: sigbus-wp")
  func sigbusMode_ofProtectedPages() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1)
      let watch = try machine.space.openUserfault(.sigbus)
      try await watch.register(range, .writeProtect)
      try await watch.protect(range, true)
      await expectThrows(AccessError.sigbus(range.start, .EFAULT)) {
        try await machine.write(range.start, 1)
      }
      try await machine.expectPattern(range)
      try await watch.protect(range, false)
      try await machine.write(range.start, 1)
      await watch.close()
    }
  }

  /// Reads events as they come, until the descriptor is closed.
  private func collect(
    _ machine: TestMachine, _ watch: Userfault, _ seen: @escaping (Userfault.Message) -> Void
  ) -> KernelTask {
    machine.kernel.spawn("handler") {
      while let message = await watch.read() { seen(message) }
    }
  }

  private func events(_ mode: Userfault.Mode) throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 6)
      let watch = try machine.space.openUserfault([
        .eventFork, .eventRemap, .eventRemove, .eventUnmap,
      ])
      try await watch.register(range, mode)
      if mode.contains(.writeProtect) { try await watch.protect(range, true) }
      var texts: [String] = []
      var child: Userfault?
      let handler = self.collect(machine, watch) { message in
        switch message {
        case .fork(let descriptor):
          child = descriptor
          texts.append("fork")
        case .remove(let part): texts.append("remove \(part.pages)")
        case .unmap(let part): texts.append("unmap \(part.pages)")
        case .remap(let old, _): texts.append("remap \(old.pages)")
        case .pageFault: texts.append("fault")
        }
      }
      let process = try await machine.space.fork("child")
      try await machine.space.discard(range.subrange(0..<2))
      try await machine.space.advise(range.subrange(2..<3), .dontNeed)
      try await machine.space.unmap(range.subrange(4..<6))
      let moved = try await machine.space.remap(
        range.page(3), oldBytes: 4096, newBytes: 4096, [.mayMove, .dontUnmap])
      #expect(try await machine.read(moved) == TestMachine.word(3))
      #expect(texts == ["fork", "remove 2", "remove 1", "unmap 2", "remap 1"])
      #expect(child?.space === process)
      #expect(try await process.load(range.start, count: 8) == TestMachine.word(0).bytes)
      await watch.close()
      await child?.close()
      await handler.join()
    }
  }

  @Test("uffd-unit-tests: events")
  func events_comeInOrder() throws { try events(.missing) }

  @Test("uffd-unit-tests: events-wp")
  func events_ofAProtectedRange() throws { try events([.missing, .writeProtect]) }

  @Test func pinning_waitsForTheHandler() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      let watch = try machine.space.openUserfault()
      try await watch.register(range, .missing)
      let handler = machine.kernel.spawn("handler") {
        while case .pageFault(let address, _, _)? = await watch.read() {
          do { try await watch.copy(address, Self.page(6)) } catch { Issue.record("\(error)") }
        }
      }
      let pinned = try await machine.space.pin(range.start, pages: 2, write: true)
      #expect(try await machine.read(range.page(1)) == 6)
      machine.space.unpin(pinned)
      await watch.close()
      await handler.join()
    }
  }

  @Test func fillingWhileAnEventWaits_isRefused() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      let watch = try machine.space.openUserfault(.eventRemove)
      try await watch.register(range, .missing)
      let remover = machine.kernel.spawn("remover") {
        do { try await machine.space.discard(range) } catch { Issue.record("\(error)") }
      }
      await machine.kernel.yield()
      await machine.kernel.yield()
      await expectThrows(KernelError.EAGAIN) { try await watch.copy(range.start, Self.page(1)) }
      guard case .remove(let part)? = watch.poll() else {
        Issue.record("no event")
        return
      }
      #expect(part == range)
      await remover.join()
      try await watch.copy(range.start, Self.page(1))
      #expect(watch.poll() == nil)
      await watch.close()
    }
  }

  @Test("uffd-unit-tests: poison")
  func poisonedPlaces_getSIGBUS() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3, filled: false)
      let watch = try machine.space.openUserfault(.poison)
      try await watch.register(range, .missing)
      #expect(try await watch.poison(range.subrange(0..<2)) == 2)
      await expectThrows(KernelError.EEXIST) { try await watch.poison(range) }
      await expectThrows(AccessError.sigbus(range.start, .EHWPOISON)) {
        try await machine.read(range.start)
      }
      // The mark outlives the descriptor and a fork; only dropping the page ends it.
      let child = try await machine.space.fork("child")
      await watch.close()
      await expectThrows(AccessError.sigbus(range.start, .EHWPOISON)) {
        try await child.load(range.start, count: 1)
      }
      #expect(try await machine.device.take(machine.space, range) == 1)
      try await machine.space.discard(range)
      #expect(try await machine.read(range.start) == 0)
    }
  }

  /// R29, M14: empty places stay, and protection goes with the page.
  @Test func migration_leavesEmptyPlacesAlone_andKeepsProtection() throws {
    let machine = try TestMachine(swapPages: 8)
    try machine.run {
      let range = try await machine.map(pages: 3, filled: false)
      for page in 0..<2 { try await machine.fill(range, page) }
      let watch = try machine.space.openUserfault()
      try await watch.register(range, [.missing, .writeProtect])
      try await watch.protect(range, true)
      #expect(try await machine.device.take(machine.space, range) == 2)
      func expectProtected(_ step: String) {
        #expect(machine.space.entry(at: range.start).isUserfaultWriteProtected, "\(step)")
        #expect(!machine.space.entry(at: range.start).isWritable, "\(step)")
      }
      expectProtected("on the device")
      try await machine.expectPattern(range.subrange(0..<2))
      expectProtected("back")
      await machine.mm.drainLRUOfAllCPUs()
      #expect(try await machine.space.swapOut(range) == 2)
      expectProtected("swapped out")
      try await machine.expectPattern(range.subrange(0..<2))
      expectProtected("swapped in")
      try await machine.space.protect(range, .read)
      try await machine.space.protect(range, .readWrite)
      expectProtected("after mprotect")
      // The device can't wait for the handler.
      await expectThrows(KernelError.EFAULT) { try await machine.space.hmmFault(range) }
      var served = 0
      let handler = machine.kernel.spawn("handler") {
        while case .pageFault(let address, let kind, true)? = await watch.read() {
          #expect(kind == .writeProtect)
          served += 1
          do { try await watch.protect(VirtualRange(start: address, pages: 1), false) } catch {
            Issue.record("\(error)")
          }
        }
      }
      try await machine.write(range.start, 9)
      #expect(served == 1)
      await watch.close()
      await handler.join()
      #expect(try await machine.read(range.start) == 9)
    }
  }

  @Test func unregistering_wakesWhoSleeps() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 1, filled: false)
      let watch = try machine.space.openUserfault()
      try await watch.register(range, .missing)
      let sleeper = machine.kernel.spawn("sleeper") {
        do { #expect(try await machine.read(range.start) == 0) } catch {
          Issue.record("\(error)")
        }
      }
      for _ in 0..<4 { await machine.kernel.yield() }
      #expect(!sleeper.isFinished)
      // A wake without a page: the fault stops again.
      try watch.wake(range)
      for _ in 0..<4 { await machine.kernel.yield() }
      #expect(!sleeper.isFinished)
      try await watch.unregister(range)
      await sleeper.join()
      await watch.close()
    }
  }

  @Test func severalFaults_oneHandler_anyOrder() throws {
    for seed in UInt64(0)..<20 {
      let machine = try TestMachine(choices: RandomWalkChoices(seed: seed))
      let comment = "replay: seed \(seed)"
      try machine.run(comment) {
        let range = try await machine.map(pages: 8, filled: false)
        let watch = try machine.space.openUserfault()
        try await watch.register(range, .missing)
        let handler = machine.kernel.spawn("handler") {
          while case .pageFault(let address, _, _)? = await watch.read() {
            let page = Int(address.rawValue - range.start.rawValue) >> 12
            do throws(KernelError) {
              try await watch.copy(address, Self.page(TestMachine.word(page)))
            } catch {
              // Two tasks met the same place: the second message comes late.
              #expect(error == .EEXIST, "\(comment)")
              try? watch.wake(VirtualRange(start: address, pages: 1))
            }
          }
        }
        let readers = (0..<3).map { number in
          machine.kernel.spawn("reader \(number)") {
            do { try await machine.expectPattern(range, comment) } catch {
              Issue.record("\(error) \(comment)")
            }
          }
        }
        for reader in readers { await reader.join() }
        await watch.close()
        await handler.join()
        await machine.mm.drainLRUOfAllCPUs()
      }
    }
  }
}
