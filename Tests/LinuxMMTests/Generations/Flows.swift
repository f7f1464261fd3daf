import Base
import KernelRuntime
import LinuxMM

// One driver flow, written in each generation of the API: move a range of a process to the device
// and say how many places moved. docs/api-generations.md shows these functions; a test holds the
// two equal.

extension TestDevice {
  // docs: 2017
  func migrate2017(_ space: AddressSpace, _ range: VirtualRange) async throws(KernelError) -> Int {
    let operations = MigrateVMAOperations<Int>(
      allocateAndCopy: { _, sources, destinations, _, _ in
        for (place, source) in sources.enumerated() where source.migrates {
          // Nothing selects: pages that are on a device already are for the driver to see.
          if self.isOnDevice(source.pfn) { continue }
          guard let new = self.allocate() else { break }
          self.fill(new, from: source.pfn)
          destinations[place] = .destination(new)
        }
      },
      finalizeAndMap: { _, sources, _, _, moved in
        // The device's page tables are updated here: both pages are still locked.
        moved = sources.count { $0.migrates }
      })
    var sources = [FirstMigratePFN](repeating: .empty, count: range.pages)
    var destinations = sources
    var moved = 0
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    try await space.migrateVMA(
      operations, space.find(range.start), start: range.start, end: range.end,
      sources: &sources, destinations: &destinations, private: &moved)
    return moved
  }
  // docs: end

  // docs: 2019
  func migrate2019(_ space: AddressSpace, _ range: VirtualRange) async throws(KernelError) -> Int {
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    let arguments = MigrateVMAArguments(space, space.find(range.start), range, room: 128)
    var moved = 0
    for chunk in range.chunks(of: 128) {
      arguments.start = chunk.start
      arguments.end = chunk.end
      try await arguments.setup()
      if arguments.collected == 0 { continue }
      for place in 0..<arguments.pages where arguments.sources[place].migrates {
        if isOnDevice(arguments.sources[place].pfn) { continue }
        guard let new = allocate() else { break }
        fill(new, from: arguments.sources[place].pfn)
        arguments[destination: place] = .destination(new)
      }
      await arguments.commit()
      // The device's page tables are updated here.
      moved += arguments.sources[..<arguments.pages].count { $0.migrates }
      arguments.finalize()
    }
    return moved
  }
  // docs: end

  // docs: 2020
  func migrate2020(_ space: AddressSpace, _ range: VirtualRange) async throws(KernelError) -> Int {
    let request = MigrationRequest(range, owner: owner, select: .system)
    var moved = 0
    try await space.migrateInSevenSteps(request, MigrationBuffers(pages: range.pages)) { pages in
      for place in 0..<pages.count where pages[source: place].migrates {
        guard let new = self.allocate() else { break }
        self.fill(new, from: pages[source: place].pfn)
        pages[destination: place] = MigratePFN(new)
      }
    } map: { pages, _ in
      // The device's page tables are updated here, and what didn't move is rolled back.
      moved = (0..<pages.count).count { pages[source: $0].migrates }
    }
    return moved
  }
  // docs: end

  // docs: 2025
  func migrate2025(
    _ space: AddressSpace, _ mirror: IntervalNotifier, _ range: VirtualRange
  ) async throws(KernelError) -> Int {
    let buffers = MigrationBuffers(pages: range.pages)
    for _ in 0..<16 {
      var lookup = UnifiedRange(
        notifier: mirror, sequence: await mirror.readBegin(), range: range, owner: owner,
        faults: [.missing, .write])
      await space.mmapLock.lockShared()
      defer { space.mmapLock.unlockShared() }
      do throws(KernelError) {
        let pages = await (try await space.hmmRangeFault(&lookup, buffers)).setup()
        for place in 0..<pages.count where pages[source: place].migrates {
          guard let new = allocate() else { break }
          fill(new, from: pages[source: place].pfn)
          pages[destination: place] = MigratePFN(new)
        }
        let committed = await pages.commit()
        // The device's page tables are updated here.
        let moved = (0..<committed.count).count { committed[source: $0].migrates }
        committed.finalize()
        return moved
      } catch {
        // The range changed meanwhile: begin again. Nothing was left locked.
        guard error == .EBUSY else { throw error }
      }
    }
    throw .EBUSY
  }
  // docs: end
}

// What the flows need of a device.
extension TestDevice {
  /// A free device page, locked and with one reference.
  func allocate() -> PFN? {
    guard let page = free.popLast() else { return nil }
    mm.initDevicePage(page)
    return page
  }

  func isOnDevice(_ page: PFN?) -> Bool { page.map { !mm.isSystemPage($0) } ?? false }

  /// Copies a system page to a device page, or clears it where there is no source.
  func fill(_ page: PFN, from source: PFN?) {
    if let source {
      memory.copy(from: mm.ram, at: source.index << 12, to: offset(page), length: 4096)
    } else {
      memory.fill(0, at: offset(page), length: 4096)
    }
  }
}
