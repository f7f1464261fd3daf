import Base
import KernelRuntime
import LinuxMM
import Testing

/// Two devices with private memory, of one owner or of two.
private final class Pair {
  let machine: TestMachine
  let devices: [MirrorDevice]
  let mirrors: [DeviceMirror]

  init(sameOwner: Bool, pages: Int = 8, choices: any Choices = FIFOChoices()) throws {
    let machine = try TestMachine(ramPages: 64, devicePages: 1, choices: choices)
    let first = try MirrorDevice(machine.mm, "first", pages: pages)
    let second = try MirrorDevice(
      machine.mm, "second", pages: pages, owner: sameOwner ? first.owner : nil)
    if sameOwner {
      first.peer = second
      second.peer = first
    }
    mirrors = [try first.open(machine.space), try second.open(machine.space)]
    self.machine = machine
    devices = [first, second]
  }

  func run(_ comment: String = "", _ body: @escaping () async throws -> Void) throws {
    try machine.run(comment) {
      try await body()
      for mirror in self.mirrors { await mirror.close() }
      await self.machine.mm.drainLRUOfAllCPUs()
    }
  }
}

/// From one device to another.
@Suite struct DeviceToDeviceTests {
  private func words(_ pages: Range<Int>) -> [UInt64] { pages.map { TestMachine.word($0) } }

  @Test func peers_copyDirectly_andRAMIsNotTouched() throws {
    let pair = try Pair(sameOwner: true)
    try pair.run {
      let range = try await pair.machine.map(pages: 4)
      #expect(try await pair.mirrors[0].migrateToDevice(range).words == self.words(0..<4))
      let ram = pair.machine.mm.freeSystemPages
      let bytes = try await pair.mirrors[1].migrateToDevice(range, select: .devicePrivate)
      #expect(bytes.words == self.words(0..<4))
      #expect(pair.mirrors[1].moved == 4)
      #expect(pair.machine.mm.freeSystemPages == ram)
      #expect(pair.devices[0].pagemap.references == 0 && pair.devices[1].pagemap.references == 4)
      #expect(pair.mirrors[0].table.isEmpty, "R65: the driver itself takes the entries away")
      #expect(pair.machine.space.counters.devicePages == 4)
      #expect(pair.machine.space.counters.deviceFaults == 0)
      // The right to write came along, and the way back is the new device's.
      #expect(pair.mirrors[1].entry(range.start)?.access == .write)
      try await pair.machine.expectPattern(range)
      #expect(pair.devices[0].faults == 0 && pair.devices[1].faults == 4)
    }
  }

  @Test func peerCopy_takesRAMAndPeerPages_inOneGo() throws {
    let pair = try Pair(sameOwner: true)
    try pair.run {
      let range = try await pair.machine.map(pages: 4)
      try await pair.mirrors[0].migrateToDevice(range.subrange(1..<3))
      let bytes = try await pair.mirrors[1].migrateToDevice(
        range, select: [.system, .devicePrivate])
      #expect(bytes.words == self.words(0..<4))
      #expect(pair.devices[1].pagemap.references == 4)
    }
  }

  @Test func fullPeer_takesWhatFits_andTheRestStays() throws {
    let pair = try Pair(sameOwner: true)
    try pair.run {
      let range = try await pair.machine.map(pages: 4)
      try await pair.mirrors[0].migrateToDevice(range)
      pair.devices[1].free = Array(pair.devices[1].free.suffix(2))
      await expectThrows(KernelError.ENOENT) {
        try await pair.mirrors[1].migrateToDevice(range, select: .devicePrivate)
      }
      #expect(pair.mirrors[1].moved == 2)
      #expect(pair.devices.map(\.pagemap.references) == [2, 2])
      #expect(try await pair.mirrors[0].read(range.subrange(2..<4)).words == self.words(2..<4))
      try await pair.machine.expectPattern(range)
    }
  }

  @Test func R23_foreignPages_areNotTaken_andComeThroughTheHost() throws {
    let pair = try Pair(sameOwner: false)
    try pair.run {
      let range = try await pair.machine.map(pages: 4)
      try await pair.mirrors[0].migrateToDevice(range)
      for select: MigrateSelect in [.system, .devicePrivate, [.system, .devicePrivate]] {
        await expectThrows(KernelError.ENOENT) {
          try await pair.mirrors[1].migrateToDevice(range, select: select)
        }
      }
      #expect(pair.devices.map(\.pagemap.references) == [4, 0])
      // H01: the second device's read brings them to RAM, from where it can take them.
      #expect(try await pair.mirrors[1].read(range).words == self.words(0..<4))
      #expect(pair.devices[0].faults == 4)
      #expect(try await pair.mirrors[1].migrateToDevice(range).words == self.words(0..<4))
      #expect(pair.devices.map(\.pagemap.references) == [0, 4])
    }
  }

  @Test func sharedByFork_aPageMovesForBoth() throws {
    let pair = try Pair(sameOwner: true)
    try pair.run {
      let range = try await pair.machine.map(pages: 1)
      try await pair.mirrors[0].migrateToDevice(range)
      let child = try await pair.machine.space.fork("child")
      #expect(
        try await pair.mirrors[1].migrateToDevice(range, select: .devicePrivate).words
          == self.words(0..<1))
      #expect(pair.devices.map(\.pagemap.references) == [0, 1])
      #expect(child.entry(at: range.start).kind == .deviceRead)
      try await child.store(range.start, UInt64(3).bytes)
      try await pair.machine.expectPattern(range)
      await child.exit()
    }
  }

  @Test(arguments: UInt64(0)..<40)
  func cpuTouch_duringAPeerCopy_losesNothing(seed: UInt64) throws {
    let pair = try Pair(sameOwner: true, choices: RandomWalkChoices(seed: seed))
    try pair.run("seed \(seed)") {
      let machine = pair.machine
      let range = try await machine.map(pages: 3)
      try await pair.mirrors[0].migrateToDevice(range)
      let toucher = machine.kernel.spawn("toucher") {
        do {
          for page in 0..<3 { try await machine.write(range.page(page), UInt64(page) + 100) }
        } catch { Issue.record("\(error)") }
      }
      let mover = machine.kernel.spawn("mover") {
        for index in [1, 0, 1] {
          do throws(KernelError) {
            try await pair.mirrors[index].migrateToDevice(range, select: [.system, .devicePrivate])
          } catch {
            #expect(error == .ENOENT, "seed \(seed)")
          }
        }
      }
      await toucher.join()
      await mover.join()
      for page in 0..<3 {
        #expect(try await machine.read(range.page(page)) == UInt64(page) + 100, "seed \(seed)")
      }
    }
  }
}
