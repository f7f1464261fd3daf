import Base
import DeviceSeam
import KernelRuntime
import Testing

@Suite struct DMATests {
  private func make(_ failures: FailurePlan = FailurePlan()) throws -> (DMAAddressSpace, Kernel) {
    let kernel = Kernel(failures: failures)
    return (
      try DMAAddressSpace(kernel, ram: try MappedMemory(count: 64 << 12), coherentBytes: 16 << 12),
      kernel
    )
  }

  @Test func mapping_leadsTheDeviceToThePage() throws {
    let (space, kernel) = try make()
    let address = try space.map(PFN(3), .bidirectional)
    #expect(address.rawValue != PFN(3).physical.rawValue)
    let target = try space.resolve(address + 0x10, isWrite: true)
    #expect(target.offset == 0x3010)
    #expect(target.length == 4096 - 0x10)
    space.unmap(address, .bidirectional)
    #expect(throws: DMAFault.unmapped(address)) { try space.resolve(address, isWrite: false) }
    #expect(space.mappedPages == 0 && space.totalMaps == 1 && space.badUnmaps.isEmpty)
    _ = kernel
  }

  @Test(arguments: [DMADirection.toDevice, .fromDevice, .bidirectional])
  func direction_isEnforced(direction: DMADirection) throws {
    let (space, kernel) = try make()
    let address = try space.map(PFN(1), direction)
    for isWrite in [false, true] {
      let allowed = isWrite ? direction.allowsDeviceWrite : direction.allowsDeviceRead
      if allowed {
        _ = try space.resolve(address, isWrite: isWrite)
      } else {
        #expect(throws: DMAFault.permission(address, isWrite: isWrite)) {
          try space.resolve(address, isWrite: isWrite)
        }
      }
    }
    _ = kernel
  }

  @Test func mappings_areCountedByDirection() throws {
    let (space, kernel) = try make()
    let first = try space.map(PFN(2), .toDevice)
    _ = try space.map(PFN(2), .toDevice)
    _ = try space.map(PFN(2), .fromDevice)
    #expect(space.mappingCount(of: PFN(2)) == 3)
    space.unmap(first, .toDevice)
    _ = try space.resolve(first, isWrite: false)
    space.unmap(first, .toDevice)
    #expect(throws: DMAFault.self) { try space.resolve(first, isWrite: false) }
    #expect(space.mappedPages == 1)
    _ = kernel
  }

  @Test func badUnmaps_areRecordedAndHarmless() throws {
    let (space, kernel) = try make()
    let address = try space.map(PFN(2), .toDevice)
    space.unmap(address, .fromDevice)
    space.unmap(DMAAddress(0x2000), .toDevice)
    #expect(space.badUnmaps == [address, DMAAddress(0x2000)])
    #expect(space.mappedPages == 1)
    _ = kernel
  }

  @Test func armedFailure_refusesTheMapping() throws {
    let failures = FailurePlan()
    failures.arm(.dmaMap, .nth(2))
    let (space, kernel) = try make(failures)
    _ = try space.map(PFN(0), .toDevice)
    #expect(throws: KernelError.EIO) { try space.map(PFN(1), .toDevice) }
    _ = try space.map(PFN(2), .toDevice)
    #expect(space.mappedPages == 2)
    _ = kernel
  }

  @Test func mapOfNoPage_traps() async {
    await #expect(processExitsWith: .failure) {
      let kernel = Kernel()
      let space = try DMAAddressSpace(kernel, ram: try MappedMemory(count: 4096))
      _ = try space.map(PFN(1), .toDevice)
    }
  }
}

@Suite struct CoherentPoolTests {
  private func make() throws -> (DMAAddressSpace, Kernel) {
    let kernel = Kernel()
    return (
      try DMAAddressSpace(kernel, ram: try MappedMemory(count: 4096), coherentBytes: 8 << 12),
      kernel
    )
  }

  @Test func buffer_isSharedByDriverAndDevice() throws {
    let (space, kernel) = try make()
    let buffer = try space.allocateCoherent(bytes: 100)
    #expect(buffer.byteCount == 4096)
    buffer.store(UInt32(0xfeed), at: 8)
    let target = try space.resolve(buffer.address + 8, isWrite: true)
    #expect(target.memory.load(UInt32.self, at: target.offset) == 0xfeed)
    target.memory.store(UInt64(1), at: target.offset)
    #expect(buffer.load(UInt64.self, at: 8) == 1)
    _ = kernel
  }

  @Test func freedBuffer_isOutOfReachAndZeroedOnReuse() throws {
    let (space, kernel) = try make()
    let buffer = try space.allocateCoherent(bytes: 4096)
    buffer.store(UInt64.max, at: 0)
    space.freeCoherent(buffer)
    #expect(throws: DMAFault.self) { try space.resolve(buffer.address, isWrite: false) }
    let again = try space.allocateCoherent(bytes: 4096)
    #expect(again.address == buffer.address)
    #expect(again.load(UInt64.self, at: 0) == 0)
    _ = kernel
  }

  /// Frees in every order of four; the pool must be whole again each time.
  @Test func freeRuns_mergeInEveryOrder() throws {
    for seed in UInt64(0)..<64 {
      let (space, kernel) = try make()
      var generator = SplitMix64(seed: seed)
      var buffers: [CoherentBuffer] = []
      for pages in [1, 3, 2, 2] { buffers.append(try space.allocateCoherent(bytes: pages << 12)) }
      #expect(throws: KernelError.ENOMEM) { try space.allocateCoherent(bytes: 1) }
      #expect(space.coherentBytesInUse == 8 << 12)
      while !buffers.isEmpty {
        space.freeCoherent(buffers.remove(at: generator.below(buffers.count)))
      }
      #expect(space.coherentBytesInUse == 0)
      let whole = try space.allocateCoherent(bytes: 8 << 12)
      #expect(whole.byteCount == 8 << 12, "seed \(seed)")
      _ = kernel
    }
  }

  @Test func noBytes_areRefused() throws {
    let (space, kernel) = try make()
    #expect(throws: KernelError.EINVAL) { try space.allocateCoherent(bytes: 0) }
    _ = kernel
  }

  @Test func doubleFree_traps() async {
    await #expect(processExitsWith: .failure) {
      let kernel = Kernel()
      let space = try DMAAddressSpace(kernel, ram: try MappedMemory(count: 4096))
      let buffer = try space.allocateCoherent(bytes: 1)
      space.freeCoherent(buffer)
      space.freeCoherent(buffer)
    }
  }
}

@Suite struct InterruptLineTests {
  @Test func messages_runTheHandlerOnceEachAndMergeWhilePending() throws {
    let kernel = Kernel()
    let line = InterruptLine(kernel, "gpu")
    var handled = 0
    try line.request { handled += 1 }
    try kernel.run {
      line.raise()
      line.raise()
      await kernel.sleep(1)
      line.raise(latency: 100)
      await kernel.sleep(50)
      #expect(handled == 1)
      await kernel.sleep(51)
    }
    #expect(handled == 2)
    #expect(line.raised == 3)
  }

  @Test func freedLine_dropsWhatIsUnderWay() throws {
    let kernel = Kernel()
    let line = InterruptLine(kernel, "gpu")
    var handled = 0
    try line.request { handled += 1 }
    #expect(throws: KernelError.EBUSY) { try line.request {} }
    line.raise(latency: 10)
    line.free()
    line.raise()
    try kernel.runUntilIdle()
    #expect(handled == 0)
    #expect(line.unhandled == 1)
    try line.request { handled += 1 }
    line.raise()
    try kernel.runUntilIdle()
    #expect(handled == 1)
  }

  @Test func trace_tellsOfEachMapping() throws {
    let kernel = Kernel(trace: Trace(isOn: true))
    let space = try DMAAddressSpace(
      kernel, ram: try MappedMemory(count: 64 << 12), coherentBytes: 16 << 12)
    let first = try space.map(PFN(2), .toDevice)
    let run = try space.map(PFN(8), count: 4, .fromDevice)
    space.unmap(run, count: 4, .fromDevice)
    space.unmap(first, .toDevice)
    space.unmap(first, .toDevice)
    let lines = kernel.trace.events.map { "\($0.kind.name) \($0.a)+\($0.b)" }
    #expect(
      lines == [
        "dma.map 2+1", "dma.map 8+4", "dma.unmap 8+4", "dma.unmap 2+1", "dma.bad_unmap 2+1",
      ])
  }
}
