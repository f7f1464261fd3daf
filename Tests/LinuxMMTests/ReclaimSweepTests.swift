import Base
import KernelRuntime
import LinuxMM
import Testing

/// Each failure at its 1st, 2nd, … n-th passage in one flow under memory pressure: an access gets
/// the named error or the right bytes, and nothing leaks.
@Suite struct ReclaimSweepTests {
  static let points: [InjectionPoint] = [
    .pageAlloc, .pageTableAlloc, .swapRead, .swapWrite, .groupCharge, .migrateCommit, .pageLock,
  ]

  private func flow(_ machine: TestMachine, _ comment: String) async throws {
    let space = machine.space
    space.join(try machine.mm.createGroup("g", limit: 14))
    guard let start = try? await space.map(bytes: 24 << 12, .readWrite) else { return }
    let range = VirtualRange(start: start, pages: 24)
    var known = [UInt64](repeating: 0, count: 24)
    func expectAllowed(_ error: any Error, _ page: Int) {
      let here = range.page(page)
      let allowed: [AccessError] = [
        .outOfMemory(here), .sigbus(here, .EIO), .sigbus(here, .EDEADLK),
      ]
      #expect(allowed.contains { $0 == error as? AccessError }, "\(error) \(comment)")
    }
    for page in 0..<24 {
      do {
        try await machine.write(range.page(page), UInt64(page + 1))
        known[page] = UInt64(page + 1)
      } catch { expectAllowed(error, page) }
    }
    _ = try? await machine.device.take(space, range.subrange(18..<24))
    _ = try? await space.lockMemory(range.subrange(0..<2))
    if let child = try? await space.fork("child") {
      try? await child.store(range.start, [77])
      await child.exit()
    }
    _ = try? await machine.mm.swapOff()
    if machine.mm.swapPages == 0 { try machine.mm.swapOn(pages: 64) }
    _ = try? await machine.device.evict()
    for page in 0..<24 {
      do {
        #expect(try await machine.read(range.page(page)) == known[page], "\(page) \(comment)")
      } catch { expectAllowed(error, page) }
    }
  }

  @Test(arguments: points)
  func nthFailure_losesNothing(point: InjectionPoint) throws {
    var passages = UInt64.max
    var nth: UInt64 = 1
    while nth <= min(passages, 60) {
      for lasting in [false, true] {
        let comment = "\(point.name) \(lasting ? "from" : "at") passage \(nth)"
        let machine = try TestMachine(ramPages: 32, swapPages: 64)
        machine.kernel.failures.arm(point, lasting ? .from(nth) : .nth(nth))
        try machine.run(comment) {
          try await self.flow(machine, comment)
          await machine.mm.drainLRUOfAllCPUs()
        }
        if machine.kernel.failures.rules.first?.strikes == 0 { passages = nth - 1 }
        machine.kernel.failures.disarm()
        try machine.run(comment) {
          await machine.space.exit()
          await machine.mm.drainLRUOfAllCPUs()
        }
        #expect(machine.mm.freeSystemPages == 31, "\(comment)")
        #expect(machine.mm.usedSwapPages == 0, "\(comment)")
        #expect(machine.device.pagemap.references == 0, "\(comment)")
      }
      nth += 1
    }
    #expect(nth > 1, "\(point.name) was never passed")
  }
}
