import Base
import KernelRuntime
import LinuxMM
import Testing

private final class Nothing: DevicePagemapOperations {
  var freed: [PFN] = []
  func pageFree(_ pfn: PFN) { freed.append(pfn) }
  func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome { .sigbus(.EIO) }
}

@Suite struct PagemapTests {
  private func pagemap(
    _ range: PFNRange, _ operations: Nothing = Nothing(), kind: DevicePagemap.Kind = .devicePrivate
  ) -> DevicePagemap {
    DevicePagemap(kind: kind, range: range, owner: PagemapOwner("t"), operations: operations)
  }

  @Test func regions_areDisjoint_aboveRAM_andReusable() throws {
    let machine = try TestMachine()
    let mm = machine.mm
    let a = try mm.requestFreeMemRegion(bytes: 2 << 20, name: "a")
    let b = try mm.requestFreeMemRegion(bytes: 5000, name: "b")
    #expect(!a.overlaps(b) && b.count == 2)
    #expect(a.start.index >= mm.systemPages)
    mm.releaseMemRegion(a)
    #expect(try mm.requestFreeMemRegion(bytes: 1 << 20, name: "c").start == a.start)
    #expect(mm.memRegions.map(\.name) == ["gpu", "c", "b"])
  }

  @Test func regions_areRefusedByName() throws {
    let machine = try TestMachine()
    #expect(throws: KernelError.EINVAL) { try machine.mm.requestFreeMemRegion(bytes: 0, name: "") }
    #expect(throws: KernelError.ERANGE) {
      try machine.mm.requestFreeMemRegion(bytes: 1 << 40, name: "big")
    }
    machine.kernel.failures.arm(.memRegion, .nth(1))
    #expect(throws: KernelError.EBUSY) {
      try machine.mm.requestFreeMemRegion(bytes: 4096, name: "x")
    }
  }

  @Test func R35_memremap_refusesWhatItMust() throws {
    let machine = try TestMachine()
    let mm = machine.mm
    let range = try mm.requestFreeMemRegion(bytes: 1 << 20, name: "r")
    #expect(throws: KernelError.EINVAL) {
      try mm.memremap(pagemap(PFNRange(start: range.start, count: 0)))
    }
    #expect(throws: KernelError.ENXIO) {
      try mm.memremap(pagemap(PFNRange(start: PFN(4), count: 4)))
    }
    #expect(throws: KernelError.ERANGE) {
      try mm.memremap(pagemap(PFNRange(start: range.start, count: 1 << 40)))
    }
    #expect(throws: KernelError.EINVAL, "coherent memory without bytes") {
      try mm.memremap(pagemap(range, kind: .deviceCoherent))
    }
    let map = pagemap(range)
    try mm.memremap(map)
    #expect(throws: KernelError.EINVAL) { try mm.memremap(map) }
    #expect(throws: KernelError.ENOMEM) {
      try mm.memremap(pagemap(PFNRange(start: range.start + 1, count: 1)))
    }
  }

  @Test func G02_failedMemremap_leavesNothingBehind() throws {
    let machine = try TestMachine()
    try machine.run {
      let mm = machine.mm
      let range = try mm.requestFreeMemRegion(bytes: 1 << 20, name: "r")
      let map = self.pagemap(range)
      machine.kernel.failures.arm(.memremap, .nth(1))
      #expect(throws: KernelError.ENOMEM) { try mm.memremap(map) }
      #expect(mm.pagemap(of: range.start) == nil)
      try mm.memremap(map)
      await mm.memunmap(map)
      mm.releaseMemRegion(range)
    }
  }

  @Test func R37_pageLifeCycle_initLocksAndCounts_freeTellsTheDriver() throws {
    let machine = try TestMachine()
    let operations = Nothing()
    let mm = machine.mm
    let range = try mm.requestFreeMemRegion(bytes: 1 << 20, name: "r")
    let map = pagemap(range, operations)
    try mm.memremap(map)
    mm.setDeviceData(range.start, 77)
    mm.initDevicePage(range.start)
    #expect(mm.referenceCount(range.start) == 1)
    #expect(mm.isLocked(range.start))
    #expect(mm.isDevicePrivate(range.start))
    #expect(mm.pagemap(of: range.start) === map)
    #expect(map.references == 1)
    #expect(mm.deviceData(range.start) == 77, "zone_device_data is the driver's own")
    mm.unlock(range.start)
    mm.put(range.start)
    #expect(operations.freed == [range.start])
    #expect(map.references == 0)
  }

  @Test func R40_memunmap_waitsForTheLastPage() throws {
    let machine = try TestMachine()
    try machine.run {
      let mm = machine.mm
      let range = try mm.requestFreeMemRegion(bytes: 1 << 20, name: "r")
      let map = self.pagemap(range)
      try mm.memremap(map)
      mm.initDevicePage(range.start)
      mm.unlock(range.start)
      var isUnmapped = false
      let task = machine.kernel.spawn("unmap") {
        await mm.memunmap(map)
        isUnmapped = true
      }
      for _ in 0..<3 { await machine.kernel.yield() }
      #expect(!isUnmapped)
      // G01: no lookup finds a pagemap that is going.
      #expect(mm.getPagemap(range.start) == nil)
      mm.put(range.start)
      await task.join()
      #expect(isUnmapped && mm.pagemap(of: range.start) == nil)
      mm.releaseMemRegion(range)
    }
  }

  @Test func G05_pagemapReference_isDroppedAfterTheCallback() throws {
    let machine = try TestMachine()
    try machine.run {
      let device = machine.device
      let range = try await machine.map(pages: 1)
      try await device.take(machine.space, range)
      var seen = -1
      device.onFree = { _ in seen = device.pagemap.references }
      try await machine.space.unmap(range)
      #expect(seen == 1)
      #expect(device.pagemap.references == 0)
    }
  }

  @Test func G04_pagemap_canBeMappedAgain_andWaitsAgain() throws {
    let machine = try TestMachine()
    try machine.run {
      let mm = machine.mm
      let range = try mm.requestFreeMemRegion(bytes: 1 << 20, name: "r")
      let map = self.pagemap(range)
      for _ in 0..<2 {
        try mm.memremap(map)
        mm.initDevicePage(range.start)
        mm.setDeviceData(range.start, 9)
        mm.unlock(range.start)
        let task = machine.kernel.spawn("unmap") { await mm.memunmap(map) }
        await machine.kernel.yield()
        #expect(!task.isFinished)
        mm.put(range.start)
        await task.join()
      }
      try mm.memremap(map)
      #expect(mm.deviceData(range.start) == 0, "a new life begins with clean records")
    }
  }

  @Test func R38_handingOutAPageOfADyingPagemap_traps() async {
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      try machine.run(isQuiet: false) {
        let page = machine.device.free[0]
        machine.mm.initDevicePage(machine.device.free[1])
        machine.kernel.spawn("unmap") { await machine.mm.memunmap(machine.device.pagemap) }
        await machine.kernel.yield()
        machine.mm.initDevicePage(page)
      }
    }
  }

  @Test func handingOutAPageInUse_traps() async {
    await #expect(processExitsWith: .failure) {
      let machine = try TestMachine()
      machine.mm.initDevicePage(machine.device.free[0])
      machine.mm.initDevicePage(machine.device.free[0])
    }
  }

  @Test func M17_reusedDevicePage_isClean() throws {
    let machine = try TestMachine(devicePages: 1)
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.device.take(machine.space, range.subrange(0..<1))
      let page = try machine.frame(range)
      try await machine.space.unmap(range.subrange(0..<1))
      #expect(machine.device.free == [page])
      try machine.check()
      #expect(try await machine.device.take(machine.space, range.subrange(1..<2)) == 1)
      #expect(try machine.frame(range, 1) == page)
      #expect(try await machine.read(range.page(1)) == TestMachine.word(1))
    }
  }

  @Test func memoryFailure_poisonsEveryEntry_andReturnsThePage() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2)
      try await machine.device.take(machine.space, range)
      let page = try machine.frame(range)
      #expect(await machine.mm.memoryFailure(page))
      #expect(machine.device.freed == [page])
      await expectThrows(AccessError.sigbus(range.start, .EHWPOISON)) {
        try await machine.read(range.start)
      }
      // The neighbour is whole, and what is poison takes no part in a migration.
      #expect(try await machine.read(range.page(1)) == TestMachine.word(1))
      #expect(try await machine.device.take(machine.space, range) == 1)
      #expect(machine.location(range) == .poison)
      try await machine.space.unmap(range)
    }
  }

  @Test func untouchedDeviceMemory_costsNothing() throws {
    let kernel = Kernel()
    let mm = try MemoryManager(
      kernel, MemoryConfiguration(ramBytes: 64 << 30, devicePhysicalBytes: 1 << 40))
    let range = try mm.requestFreeMemRegion(bytes: 64 << 30, name: "vram")
    try mm.memremap(pagemap(range))
    mm.initDevicePage(range.start + UInt64(range.count - 1))
    #expect(mm.isDevicePrivate(range.start))
    mm.unlock(range.start + UInt64(range.count - 1))
    mm.put(range.start + UInt64(range.count - 1))
  }
}
