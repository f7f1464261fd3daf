import Base
import KernelRuntime
import LinuxMM
import Testing

/// Every injection point of memory management, struck at its 1st, 2nd, … n-th passage in one long
/// flow: whatever fails, no byte, page, lock or count is lost.
@Suite struct FailureSweepTests {
  static let points: [InjectionPoint] = [
    .pageAlloc, .pageTableAlloc, .pageLock, .migrateCollect, .migrateCommit, .notifierInsert,
    .memremap, .memRegion, .hmmRetry,
  ]

  /// A file mapped both ways, struck at any passage: what fails says so, what is written stays.
  @Test(arguments: [InjectionPoint.pageAlloc, .pageTableAlloc, .fileRead, .fileWrite])
  func nthFailure_losesNothingOfAFile(point: InjectionPoint) throws {
    var nth: UInt64 = 1
    var struck = true
    while struck {
      let comment = "\(point.name) at passage \(nth)"
      let machine = try TestMachine()
      machine.kernel.failures.arm(point, .nth(nth))
      let file = try machine.mm.createFile("f", bytes: 4 << 12)
      try machine.run(comment) {
        var known = [UInt64](repeating: 0, count: 4)
        for page in 0..<4 {
          let word = UInt64(page + 50)
          if (try? await file.write(UInt64(page) << 12, word.bytes)) != nil { known[page] = word }
        }
        if (try? await file.writeBack()) != nil { file.dropCleanPages() }
        for shared in [false, true] {
          guard
            let start = try? await machine.space.map(
              file, bytes: 4 << 12, .readWrite, shared: shared)
          else { continue }
          for page in 0..<4 {
            let address = start + UInt64(page) << 12
            let word = UInt64(page + 60)
            guard (try? await machine.write(address, word)) != nil else { continue }
            if shared { known[page] = word }
            #expect(try await machine.read(address) == word, "\(comment)")
          }
        }
        await machine.space.exit()
        try? await file.writeBack()
        struck = machine.kernel.failures.rules.first?.strikes != 0
        machine.kernel.failures.disarm()
        try await file.writeBack()
        for page in 0..<4 {
          #expect(file.stored(UInt64(page) << 12, count: 8) == known[page].bytes, "\(comment)")
        }
        try await file.evict()
        await machine.mm.drainLRUOfAllCPUs()
      }
      #expect(machine.mm.freeSystemPages == 255, "\(comment)")
      nth += 1
    }
    #expect(nth > 2, "\(point.name) was never passed")
  }

  /// One long flow; each step may fail, and what it says it did is checked.
  private func flow(_ machine: TestMachine, _ comment: String) async throws {
    let space = machine.space
    var known: [UInt64: UInt64] = [:]
    guard let start = try? await space.map(bytes: 12 << 12, .readWrite) else { return }
    let range = VirtualRange(start: start, pages: 12)
    func write(_ page: Int, _ word: UInt64) async {
      do {
        try await machine.write(range.page(page), word)
        known[UInt64(page)] = word
      } catch {
        expectAllowed(error, page)
      }
    }
    /// A failure that strikes again and again ends an access in one of two ways.
    func expectAllowed(_ error: any Error, _ page: Int) {
      let allowed = [
        AccessError.outOfMemory(range.page(page)), .sigbus(range.page(page), .EDEADLK),
      ]
      #expect(allowed.contains { $0 == error as? AccessError }, "\(error) \(comment)")
    }
    func expectBytes(_ step: String) async {
      for page in 0..<12 {
        do {
          let word = try await machine.read(range.page(page))
          #expect(word == known[UInt64(page)] ?? 0, "page \(page) after \(step), \(comment)")
        } catch {
          expectAllowed(error, page)
        }
      }
    }
    for page in [0, 1, 2, 3, 6, 7] { await write(page, UInt64(page + 100)) }
    await expectBytes("writing")
    _ = try? await machine.device.take(space, range)
    await write(2, 202)
    await expectBytes("migration and return")
    _ = try? await machine.device.take(space, range.subrange(0..<8))
    _ = try? await machine.device.evict()
    await expectBytes("eviction")
    let mirror = QuietMirror()
    if let notifier = try? space.insertNotifier(range, mirror) {
      var request = HMMRange(
        notifier: notifier, sequence: await notifier.readBegin(), range: range, owner: nil,
        defaultFlags: HMMPFN.requestFault)
      await space.mmapLock.lockShared()
      _ = try? await space.hmmRangeFault(&request)
      space.mmapLock.unlockShared()
      await notifier.remove()
    }
    if let pinned = try? await space.pin(range.page(1), pages: 2, write: true) {
      _ = try? await machine.device.take(space, range)
      space.unpin(pinned)
    }
    await expectBytes("pins")
    if let second = try? TestDevice(machine.mm, "second", pages: 8) {
      _ = try? await second.take(space, range.subrange(4..<9))
      await expectBytes("second device")
    }
    await machine.mm.drainLRUOfAllCPUs()
  }

  @Test(arguments: points)
  func nthFailure_losesNothing(point: InjectionPoint) throws {
    var passages = UInt64.max
    var nth: UInt64 = 1
    while nth <= min(passages, 400) {
      for lasting in [false, true] {
        let comment = "\(point.name) \(lasting ? "from" : "at") passage \(nth)"
        let machine = try TestMachine()
        if nth <= passages {
          machine.kernel.failures.arm(point, lasting ? .from(nth) : .nth(nth))
        }
        try machine.run(comment) { try await self.flow(machine, comment) }
        if machine.kernel.failures.rules.first?.strikes == 0 { passages = nth - 1 }
        machine.kernel.failures.disarm()
        try machine.run(comment) {
          await machine.space.exit()
          await machine.mm.drainLRUOfAllCPUs()
        }
        #expect(machine.mm.freeSystemPages == 255, "\(comment)")
        #expect(machine.device.pagemap.references == 0, "\(comment)")
      }
      nth += 1
    }
    #expect(nth > 1, "\(point.name) was never passed")
  }
}

/// A mirror that only publishes sequences.
final class QuietMirror: IntervalNotifierOperations {
  func invalidate(
    _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
  ) async -> Bool {
    notifier.setSequence(sequence)
    return true
  }
}
