package import Base
import DeviceSeam
import KernelRuntime
package import LinuxMM

/// A process's address space as the GPU sees it: the same addresses, translated by page tables of
/// the GPU's own, which follow the CPU's through an interval notifier.
///
/// Kernel: struct nouveau_svmm (nouveau_svm.c)
package final class SVMM {
  package let space: AddressSpace
  /// The GPU's page tables of this process.
  package let gpuSpace: GPUAddressSpace
  /// The instance block of the process's context on the GPU; faults name it.
  let instance: InstanceObject
  let device: NVKMDevice
  let owner: PagemapOwner
  /// Guards the GPU's page tables against the notifier. Kernel: nouveau_svmm.mutex
  let mutex: SleepingLock
  /// LOCKING: `mutex`.
  var mirrored = MirroredPages()
  /// Batches on their way to the device.
  var arrivals: [Arrival] = []
  /// Set while the process uses the device.
  private(set) var notifier: IntervalNotifier?
  /// Invalidations that took translations away.
  package private(set) var invalidations: UInt64 = 0
  /// The process has closed the device: what it has on the GPU ends, and its faults are cancelled.
  package internal(set) var isLeaving = false { didSet { life.note() } }
  /// Nothing of the process is on the device any more.
  private(set) var isGone = false
  /// Pieces of the process's work that are on the GPU, and migrations under way for it.
  private var running = 0
  /// Wakes who waits for the end of the work, or of all.
  private let life: WaitQueue

  /// Kernel: nouveau_svmm_init, the part that can't fail
  init(
    _ space: AddressSpace, _ gpuSpace: GPUAddressSpace, _ instance: InstanceObject,
    _ device: NVKMDevice, _ owner: PagemapOwner
  ) {
    self.space = space
    self.gpuSpace = gpuSpace
    self.instance = instance
    self.device = device
    self.owner = owner
    mutex = SleepingLock(device.kernel, .svmm)
    life = WaitQueue(device.kernel, "a process's work on the GPU")
  }

  /// A piece of work goes to the GPU, or a migration begins.
  func beginWork() {
    life.note()
    running += 1
  }

  /// Ends what ``beginWork()`` began.
  func endWork() {
    life.note()
    running -= 1
    if running == 0 { life.wakeAll() }
  }

  /// Sleeps until nothing of the process runs on the GPU, and nobody maps anything for it there.
  /// Kernel: nouveau_channel_idle
  func waitForWork() async { await life.wait { running == 0 } }

  /// The last step of leaving.
  func leave() {
    isGone = true
    life.wakeAll()
  }

  /// Sleeps until ``leave()``.
  func waitUntilGone() async { await life.wait { isGone } }

  /// Begins to follow the CPU's page tables; `ENOMEM` when the notifier can't be had.
  func startFollowing() throws(KernelError) {
    notifier = try space.insertNotifier(.user, self)
  }

  /// Stops following; every translation is gone when this returns. Kernel: nouveau_svmm_fini
  func stopFollowing() async {
    await notifier?.remove()
    notifier = nil
    await unmapAll()
  }

  /// Cuts the circle of mirror and notifier, for a machine that goes as it stands.
  func forgetNotifier() { notifier = nil }

  /// Where the instance block lies; whoever runs on the GPU for this process is bound to it.
  package var instanceAddress: VRAMAddress { instance.address }

  // MARK: page tables

  /// Takes the GPU's translations of a range away; when this returns, the GPU doesn't use them.
  ///
  /// LOCKING: takes the svmm mutex. Kernel: nouveau_svmm_invalidate
  package func unmap(_ range: VirtualRange) async {
    await mutex.withLock { () async in await unmapLocked(range) }
  }

  /// Takes every translation away.
  package func unmapAll() async { await unmap(.user) }

  /// LOCKING: svmm mutex held.
  func unmapLocked(_ range: VirtualRange) async {
    guard mirrored.live > 0 else { return }
    let runs = mirrored.mappedRuns(in: range)
    guard let first = runs.first, let last = runs.last else { return }
    // One walk and one invalidation of the TLBs, whatever the number of runs.
    await gpuSpace.unmapPages(
      at: GPUVirtualAddress(first.lowerBound << UInt64(PageSize.shift)),
      count: Int(last.upperBound - first.lowerBound))
    invalidations += 1
    for address in mirrored.remove(runs) { device.pci.dma.unmap(address, .bidirectional) }
  }

  /// Maps the pages of a batch that did move, writable only if the CPU's entry was (bugs.md R17);
  /// others get no entry (V09, N11).
  ///
  /// What the core has changed since the batch was collected gets none either. When a table can't
  /// be had the pages stay without translation: the GPU faults on them later.
  ///
  /// LOCKING: takes the svmm mutex. Kernel: nouveau_pfns_map
  func map(
    _ committed: borrowing CommittedPages, _ arrival: Arrival, dmem: Dmem
  ) async -> (pages: Int, withoutSource: Int) {
    defer { forget(arrival) }
    let start = arrival.range.start
    var moved = 0
    var withoutSource = 0
    var runs = movedRuns(committed, dmem, &moved, &withoutSource)
    if moved == 0 { return (0, 0) }
    await mutex.lock()
    defer { mutex.unlock() }
    if !arrival.changed.isEmpty { runs = arrival.unchanged(of: runs) }
    // A GPU read may have mapped the zero page since the batch was collected: that place has no
    // migration entry to wait for. The core's notice of replacing it is our own, so it was let
    // pass.
    let range = VirtualRange(start: start, pages: committed.count)
    if mirrored.intersects(range) { await unmapLocked(range) }
    do throws(KernelError) {
      try await gpuSpace.setRuns(runs, at: GPUVirtualAddress(start.rawValue))
      for run in runs {
        mirrored.insertVRAM(start.page + UInt64(run.start), count: run.pages)
      }
      device.kernel.trace.record(.dmemMapped, start.rawValue, UInt64(moved))
    } catch {
      device.log.error("svm", "no page table for \(start): \(error)")
    }
    return (moved, withoutSource)
  }

  /// The pages that did move, in runs that lie in a row in VRAM and have equal rights.
  private func movedRuns(
    _ committed: borrowing CommittedPages, _ dmem: Dmem, _ moved: inout Int,
    _ withoutSource: inout Int
  ) -> [GPUPTERun] {
    var runs: [GPUPTERun] = []
    var index = 0
    while index < committed.count {
      let source = committed[source: index]
      guard source.migrates, let page = committed[destination: index].pfn,
        let chunk = dmem.chunk(of: page)
      else {
        index += 1
        continue
      }
      if source.isCompound {
        // One word for a whole chunk.
        runs.append(
          GPUPTERun(
            start: index, pages: DmemChunk.pages,
            first: .vram(chunk.address(of: page), writable: source.isWritable)))
        moved += DmemChunk.pages
        if !source.isValid { withoutSource += DmemChunk.pages }
        index += DmemChunk.pages
        continue
      }
      let left = Int(chunk.range.end.rawValue - page.rawValue)
      let end = min(committed.count, index + left)
      let first = index
      while index < end {
        let next = committed[source: index]
        guard next.migrates, next.isWritable == source.isWritable,
          committed[destination: index].pfn == page + (index - first)
        else { break }
        if !next.isValid { withoutSource += 1 }
        index += 1
      }
      moved += index - first
      runs.append(
        GPUPTERun(
          start: first, pages: index - first,
          first: .vram(chunk.address(of: page), writable: source.isWritable)))
    }
    return runs
  }
}

extension SVMM: IntervalNotifierOperations {
  /// The CPU's page tables are about to change. Kernel: nouveau_svm_range_invalidate,
  /// nouveau_svmm_invalidate_range_start
  package func invalidate(
    _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
  ) async -> Bool {
    if !event.isBlockable && mutex.owner != nil { return false }
    await mutex.withLock { () async in
      // We ask for the page alone ourselves: our translation goes, and is written anew for the same
      // page if nothing else happens meanwhile.
      if event.kind == .exclusive && event.owner === owner {
        return await unmapLocked(event.range)
      }
      notifier.setSequence(sequence)
      // Our own migrations are announced to us as well; there the driver takes away what moves, and
      // no more (R65).
      if event.kind == .migrate && event.owner === owner { return }
      noteChange(event)
      await unmapLocked(event.range)
    }
    return true
  }
}
