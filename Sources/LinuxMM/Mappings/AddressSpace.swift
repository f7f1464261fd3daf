public import Base
public import KernelRuntime

/// A process's address space (`mm_struct`): its mappings, its page tables, its mirrors.
public final class AddressSpace {
  public let name: String
  public unowned let manager: MemoryManager
  /// `mmap_lock`: held for writing while mappings change, for reading while they must stand.
  public let mmapLock: ReadWriteLock
  let kernel: Kernel
  /// The machine's page-table pages; held here too, since each access of a page looks at them.
  let tables: PageTablePool
  /// The top page table; 0, the table that is always empty, once the process has exited.
  var root: Int
  /// The mappings, by address; none overlap and none are empty.
  public internal(set) var mappings: [VMA] = []
  var tally = AddressSpaceCounters()
  /// Counts of this process.
  public var counters: AddressSpaceCounters { tally }
  /// One empty leaf table for each huge entry, so that splitting one can't fail (`pmd_huge_pte`).
  var spareTables: [Int] = []
  var walkTally = WalkCounters()
  /// Page-table walks of this process.
  public var walks: WalkCounters { walkTally }
  let notifiers: NotifierSubscriptions
  /// Set once ``exit()`` has begun.
  public internal(set) var isExiting = false
  /// The memory was reaped under an out-of-memory kill: nothing may be filled in (`MMF_UNSTABLE`).
  public var isUnstable: Bool { wasReaped }
  var wasReaped = false
  /// The descriptors that a child got by `fork`, until the parents' handlers know of them.
  var inheritedWatches: [(parent: Userfault, child: Userfault)] = []
  /// What the last fault stopped at, for a caller that can wait for its handler.
  var stopped: (watch: Userfault, stop: Userfault.Stop)?
  // SOURCE: include/uapi/linux/resource.h, MLOCK_LIMIT of 6.12.
  /// Bytes that the process may lock in memory (`RLIMIT_MEMLOCK`).
  public var lockLimit: UInt64 = 8 << 20
  /// What mappings to come are locked with (`MCL_FUTURE`).
  var futureLock: VMA.Flags = []
  /// Whose limits hold for it; nil for none.
  public internal(set) var group: MemoryGroup?

  /// Odd while a fork takes the right to write away from pages (`write_protect_seq`).
  var writeProtectSequence: UInt64 = 0

  init(_ manager: MemoryManager, _ name: String, root: Int) {
    self.manager = manager
    self.name = name
    self.root = root
    kernel = manager.kernel
    tables = manager.tables
    mmapLock = ReadWriteLock(manager.kernel, .mmap)
    notifiers = NotifierSubscriptions(manager.kernel)
    tally.pageTables = 1
  }

  /// Lets mirrors and mappings go, and what watches these, for a machine that goes as it stands.
  func abandon() {
    notifiers.abandon()
    mappings = []
    inheritedWatches = []
    stopped = nil
  }

  /// The index of the first mapping that ends above `address`.
  func firstMapping(above address: VirtualAddress) -> Int {
    var low = 0
    var high = mappings.count
    while low < high {
      let middle = (low + high) / 2
      if mappings[middle].end <= address { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The mapping that contains `address`.
  ///
  /// LOCKING: `mmapLock` held by the caller when the answer must stay true.
  public func find(_ address: VirtualAddress) -> VMA? {
    let place = firstMapping(above: address)
    guard place < mappings.count, mappings[place].start <= address else { return nil }
    return mappings[place]
  }

  /// The leaf entry of `address`, empty where no table is, and its page's part of a huge one; for
  /// audits and expectations.
  public func entry(at address: VirtualAddress) -> PageTableEntry {
    guard let slot = leafSlot(address) else { return hugePart(address) }
    return tables.entries[slot]
  }
}

/// Counts of one process.
public struct AddressSpaceCounters: Hashable, Sendable {
  /// Anonymous pages, in RAM or on a device (`MM_ANONPAGES`, R43).
  public var residentPages: Int = 0
  /// Pages of files (`MM_FILEPAGES`).
  public var filePages: Int = 0
  /// Pages of shared memory (`MM_SHMEMPAGES`).
  public var sharedMemoryPages: Int = 0
  /// Those of them in device-private memory.
  public var devicePages: Int = 0
  /// Pages in swap space (`MM_SWAPENTS`).
  public var swapEntries: Int = 0
  /// Page-table pages, the root included.
  public var pageTables: Int = 0
  /// Faults served without a device.
  public var minorFaults: UInt64 = 0
  /// Faults that read a page from swap space.
  public var majorFaults: UInt64 = 0
  /// Faults that slept on a migration entry.
  public var migrationWaits: UInt64 = 0
  /// Faults that asked a device's driver.
  public var deviceFaults: UInt64 = 0
  /// Faults that ended with a signal.
  public var failedFaults: UInt64 = 0
  /// Pages copied because they were shared when written.
  public var copiesOnWrite: UInt64 = 0
  /// Flushes of CPU translations, one a page table at most.
  public var tlbFlushes: UInt64 = 0
  /// Pages whose translations were flushed.
  public var tlbFlushedPages: UInt64 = 0
}

/// Walks of one process's page tables by migrations and by lookups for devices.
public struct WalkCounters: Hashable, Sendable {
  /// Passes over a range.
  public var passes: UInt64 = 0
  /// Times that a pass was taken up again after a fault.
  public var restarts: UInt64 = 0
  /// Entries that were looked at.
  public var entries: UInt64 = 0
}
