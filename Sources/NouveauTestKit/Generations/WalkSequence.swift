import Base
import Foundation
import KernelRuntime
import LinuxMM

/// The three ways to bring a range to the device with the right to write, whatever it holds now, as
/// the cover text of the RFC of 2025 counts them.
public enum WalkSequence: String, CaseIterable, Sendable {
  /// `hmm_range_fault`, then `migrate_vma_*`: always two walks.
  case faultFirst = "fault first"
  /// `migrate_vma_*`; if pages were missing, `hmm_range_fault` and `migrate_vma_*` again.
  case migrateFirst = "migrate first"
  /// One walk that faults and collects.
  case unified
}

/// What a range holds before.
public enum RangeContent: String, CaseIterable, Sendable {
  /// Every page written.
  case present
  /// Nothing touched.
  case absent
  /// Every page read once: the zero page.
  case zero
  /// Every page shared with a forked child.
  case cow = "COW"
  /// Those four, page by page.
  case mixed

  /// What page `index` of the range holds.
  func content(of index: Int) -> RangeContent {
    self == .mixed ? [.present, .absent, .zero, .cow][index % 4] : self
  }
}

/// One process with one range, for one run of one sequence.
struct WalkRig {
  let kernel: Kernel
  let mm: MemoryManager
  let device: NullDevice
  let pages: Int

  init(pages: Int) throws(KernelError) {
    self.pages = pages
    kernel = Kernel()
    mm = try MemoryManager(
      kernel, MemoryConfiguration(ramBytes: (pages * 4 + 1024) << 12))
    device = try NullDevice(mm, pages: pages)
  }

  /// What one sequence did.
  struct Counts {
    var passes: UInt64 = 0
    var restarts: UInt64 = 0
    var entries: UInt64 = 0
    var faults: UInt64 = 0
    var flushes: UInt64 = 0
    /// Of the processor, so that whoever else uses it doesn't count.
    var nanoseconds = 0.0
  }

  /// Makes the range, runs the sequence, and says what it cost.
  ///
  /// `EIO` when not every page has moved: figures of a flow that doesn't work would mean nothing.
  func run(
    _ sequence: WalkSequence, _ content: RangeContent
  ) async throws(KernelError) -> Counts {
    let space = try mm.createAddressSpace("parent")
    let start = try await space.map(bytes: UInt64(pages) << 12, .readWrite, name: "range")
    let range = VirtualRange(start: start, pages: pages)
    let child = try await fill(space, range, content)
    await mm.drainLRUOfAllCPUs()
    let notifier = try space.insertNotifier(range, PassingMirror(device.owner))
    let before = space.counters
    let walks = space.walks
    let begin = clock()
    let moved = try await migrate(sequence, space, notifier, range)
    let end = clock()
    guard moved == pages else { throw .EIO }
    let after = space.counters
    var counts = Counts()
    counts.passes = space.walks.passes - walks.passes
    counts.restarts = space.walks.restarts - walks.restarts
    counts.entries = space.walks.entries - walks.entries
    counts.faults = after.minorFaults - before.minorFaults
    counts.flushes = after.tlbFlushes - before.tlbFlushes
    // SOURCE: POSIX, clock(): processor time in units of a microsecond.
    counts.nanoseconds = Double(end - begin) * 1e3
    await notifier.remove()
    await child.exit()
    await space.exit()
    return counts
  }

  private func fill(
    _ space: AddressSpace, _ range: VirtualRange, _ content: RangeContent
  ) async throws(KernelError) -> AddressSpace {
    do throws(AccessError) {
      for page in 0..<pages where content.content(of: page) == .cow {
        try await space.touch(range.start + page * PageSize.bytes, write: true)
      }
    } catch {
      throw .ENOMEM
    }
    let child = try await space.fork("child")
    do throws(AccessError) {
      for page in 0..<pages {
        let address = range.start + page * PageSize.bytes
        switch content.content(of: page) {
        case .present: try await space.touch(address, write: true)
        case .zero: try await space.touch(address, write: false)
        case .absent, .cow, .mixed: break
        }
      }
    } catch {
      throw .ENOMEM
    }
    return child
  }

  // MARK: the sequences

  private func migrate(
    _ sequence: WalkSequence, _ space: AddressSpace, _ notifier: IntervalNotifier,
    _ range: VirtualRange
  ) async throws(KernelError) -> Int {
    switch sequence {
    case .faultFirst:
      try await fault(space, notifier, range)
      return try await collect(space, range, presentOnly: false).moved
    case .migrateFirst:
      let first = try await collect(space, range, presentOnly: true)
      if first.moved == pages { return first.moved }
      try await fault(space, notifier, range)
      return first.moved + (try await collect(space, range, presentOnly: false).moved)
    case .unified:
      let sequence = await notifier.readBegin()
      await space.mmapLock.lockShared()
      defer { space.mmapLock.unlockShared() }
      var lookup = UnifiedRange(
        notifier: notifier, sequence: sequence, range: range, owner: device.owner,
        faults: [.missing, .write])
      let prepared = try await space.hmmRangeFault(&lookup, MigrationBuffers(pages: pages))
      return await device.finish(await prepared.setup())
    }
  }

  private func fault(
    _ space: AddressSpace, _ notifier: IntervalNotifier, _ range: VirtualRange
  ) async throws(KernelError) {
    // Each table of 512 entries may need one more try.
    for _ in 0..<pages / 256 + 8 {
      var lookup = HMMRange(
        notifier: notifier, sequence: await notifier.readBegin(), range: range,
        owner: device.owner, defaultFlags: HMMPFN.requestFault | HMMPFN.requestWrite)
      await space.mmapLock.lockShared()
      defer { space.mmapLock.unlockShared() }
      do throws(KernelError) {
        try await space.hmmRangeFault(&lookup)
        return
      } catch {
        // Replacing a zero page or a shared one tells the mirrors: begin again (R52).
        guard error == .EBUSY else { throw error }
      }
    }
    throw .EBUSY
  }

  private func collect(
    _ space: AddressSpace, _ range: VirtualRange, presentOnly: Bool
  ) async throws(KernelError) -> (moved: Int, pages: Int) {
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    let request = MigrationRequest(range, owner: device.owner, select: .system)
    let collected = try await space.migrateSetup(request, MigrationBuffers(pages: pages))
    // What is missing or may not be written is for the lookup between the two migrations.
    let moved = await device.finish(collected) { source in
      !presentOnly || (source.isValid && source.isWritable)
    }
    return (moved, pages)
  }
}

/// A mirror that lets its owner's migrations pass and publishes the rest.
private final class PassingMirror: IntervalNotifierOperations {
  private let owner: PagemapOwner

  init(_ owner: PagemapOwner) { self.owner = owner }

  func invalidate(
    _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
  ) async -> Bool {
    if event.kind == .migrate && event.owner === owner { return true }
    notifier.setSequence(sequence)
    return true
  }
}
