import Base
import KernelRuntime
import LinuxMM
import Testing

@Suite struct MemoryGroupTests {
  @Test func pagesAreChargedOnce_andUnchargedWhenFreed() throws {
    let machine = try TestMachine()
    try machine.run {
      let group = try machine.joinGroup(limit: 20)
      let range = try await machine.map(pages: 6)
      #expect(group.charged == 6)
      try await machine.expectPattern(range)
      #expect(group.charged == 6)
      #expect(machine.mm.group(of: try machine.frame(range)) === group)
      try await machine.space.unmap(range)
      await machine.mm.drainLRUOfAllCPUs()
      #expect(group.charged == 0)
      #expect(group.peak == 6)
    }
  }

  /// R43, M16: the charge moves with the page, so coming back can't fail for the limit.
  @Test func chargeMovesToTheDeviceAndBack() throws {
    let machine = try TestMachine()
    try machine.run {
      let group = try machine.joinGroup(limit: 8)
      let range = try await machine.map(pages: 8)
      #expect(try await machine.device.take(machine.space, range) == 8)
      #expect(group.charged == 8)
      try machine.check("on the device")
      group.limit = 1
      try await machine.expectPattern(range)
      #expect(group.charged == 8)
    }
  }

  @Test func abandonedMigration_leavesTheChargeAlone() throws {
    let machine = try TestMachine()
    try machine.run {
      let group = try machine.joinGroup(limit: 8)
      let range = try await machine.map(pages: 4)
      machine.kernel.failures.arm(.migrateCommit, .from(1))
      #expect(try await machine.device.take(machine.space, range) == 0)
      machine.kernel.failures.disarm()
      #expect(group.charged == 4)
    }
  }

  @Test func holesFilledOnTheDevice_areCharged_andLimited() throws {
    let machine = try TestMachine()
    try machine.run {
      let group = try machine.joinGroup(limit: 3)
      let range = try await machine.map(pages: 5, filled: false)
      #expect(try await machine.device.take(machine.space, range) == 3)
      #expect(group.charged == 3)
    }
  }

  @Test func limit_reclaimsFromTheGroupAlone() throws {
    let machine = try TestMachine(swapPages: 64)
    try machine.run {
      let other = try machine.mm.createAddressSpace("free")
      let start = try await other.map(bytes: 10 << 12, .readWrite)
      for page in 0..<10 { try await other.store(start + UInt64(page) << 12, [7]) }
      let group = try machine.joinGroup(limit: 10)
      let range = try await machine.map(pages: 30)
      try await machine.expectPattern(range)
      #expect(group.charged <= 10)
      #expect(group.events.limitHits > 0)
      #expect(other.counters.swapEntries == 0)
      #expect(group.swapped > 0)
    }
  }

  @Test func limitWithoutSwapSpace_failsTheAccess() throws {
    let machine = try TestMachine()
    try machine.run {
      let group = try machine.joinGroup(limit: 4)
      let range = try await machine.map(pages: 6, filled: false)
      for page in 0..<4 { try await machine.fill(range, page) }
      await expectThrows(AccessError.outOfMemory(range.page(4))) {
        try await machine.fill(range, 4)
      }
      #expect(group.events.outOfMemory == 1)
      #expect(group.charged == 4)
      machine.space.join(nil)
      try await machine.fill(range, 4)
      #expect(group.charged == 4)
    }
  }

  @Test func limitMet_killsInTheGroupAlone() throws {
    let machine = try TestMachine(kills: true)
    try machine.run {
      _ = try await machine.map(pages: 40)
      let group = try machine.mm.createGroup("g", limit: 12)
      let large = try machine.mm.createAddressSpace("large")
      let small = try machine.mm.createAddressSpace("small")
      large.join(group)
      small.join(group)
      let first = try await large.map(bytes: 20 << 12, .readWrite)
      for page in 0..<8 { try await large.store(first + UInt64(page) << 12, [1]) }
      let second = try await small.map(bytes: 20 << 12, .readWrite)
      for page in 0..<7 { try await small.store(second + UInt64(page) << 12, [1]) }
      #expect(large.isUnstable && !small.isUnstable && !machine.space.isUnstable)
      #expect(group.events.kills == 1)
      #expect(group.charged == 7)
    }
  }

  @Test func swapLimit_keepsPagesInRAM() throws {
    let machine = try TestMachine(swapPages: 64)
    try machine.run {
      let group = try machine.joinGroup(swapLimit: 2)
      let range = try await machine.map(pages: 5)
      #expect(try await machine.space.swapOut(range) == 2)
      #expect(group.swapped == 2)
      #expect(group.charged == 3)
      #expect(group.events.swapRefusals > 0)
      try await machine.expectPattern(range)
    }
  }

  @Test func failedCharge_failsTheAccess_andLosesNothing() throws {
    let machine = try TestMachine(swapPages: 16)
    try machine.run {
      try machine.joinGroup()
      let range = try await machine.map(pages: 2)
      try await machine.space.swapOut(range)
      machine.kernel.failures.arm(.groupCharge, .nth(1))
      await expectThrows(AccessError.outOfMemory(range.start)) {
        try await machine.read(range.start)
      }
      try await machine.expectPattern(range)
    }
  }

  @Test func badLimit_isRefused() throws {
    let machine = try TestMachine()
    try machine.run {
      await expectThrows(KernelError.EINVAL) { try machine.mm.createGroup("g", limit: -1) }
    }
  }
}
