import Base

/// A group of processes with limits on their memory (`struct mem_cgroup`).
///
/// A page is charged to the group of the process that first has it, stays charged wherever it
/// moves, to a device and back (R43), and is uncharged when it is freed.
public final class MemoryGroup {
  public let name: String
  /// Its number in the owners' table; from 1.
  let number: Int
  /// Pages that the group may have (`memory.max`).
  public var limit: Int
  /// Slots of swap space that the group may have (`memory.swap.max`).
  public var swapLimit: Int
  /// Pages charged, in RAM and on devices (`memory.current`).
  public private(set) var charged = 0
  /// Slots charged (`memory.swap.current`).
  public private(set) var swapped = 0
  /// The most pages that were ever charged (`memory.peak`).
  public private(set) var peak = 0
  public private(set) var events = Events()

  /// What happened at the limit (`memory.events`).
  public struct Events: Hashable, Sendable {
    /// Charges that met the limit (`max`).
    public var limitHits: UInt64 = 0
    /// Charges that met the limit with nothing to reclaim (`oom`).
    public var outOfMemory: UInt64 = 0
    /// Processes killed (`oom_kill`).
    public var kills: UInt64 = 0
    /// Slots that were refused (`memory.swap.events`, `max`).
    public var swapRefusals: UInt64 = 0
  }

  init(_ name: String, number: Int, limit: Int, swapLimit: Int) {
    self.name = name
    self.number = number
    self.limit = limit
    self.swapLimit = swapLimit
  }

  /// Charges `count` pages when they fit (`try_charge`).
  func tryCharge(_ count: Int) -> Bool {
    guard charged + count <= limit else {
      events.limitHits += 1
      return false
    }
    charged += count
    peak = max(peak, charged)
    return true
  }

  func uncharge(_ count: Int) {
    invariant(charged >= count, "group \(name): \(count) pages uncharged of \(charged)")
    charged -= count
  }

  func tryChargeSwap() -> Bool {
    guard swapped < swapLimit else {
      events.swapRefusals += 1
      return false
    }
    swapped += 1
    return true
  }

  func unchargeSwap() {
    invariant(swapped > 0, "group \(name): a slot uncharged of none")
    swapped -= 1
  }

  func countOutOfMemory() { events.outOfMemory += 1 }
  func countKill() { events.kills += 1 }
}

/// The groups of one machine, and which of them each page is charged to (`folio_memcg`).
final class MemoryGroups {
  /// Groups by number; number 0 is none.
  private(set) var byNumber: [MemoryGroup?] = [nil]
  private let memory: MappedMemory
  /// The group's number of each page, of RAM and of device memory; 0 for uncharged.
  private let owners: FlatView<UInt16>

  /// `ENOMEM` when the host refuses the address space.
  init(pages: Int) throws(KernelError) {
    memory = try MappedMemory(count: pages * MemoryLayout<UInt16>.stride)
    owners = FlatView(memory, at: 0, count: pages)
  }

  func make(_ name: String, limit: Int, swapLimit: Int) throws(KernelError) -> MemoryGroup {
    guard byNumber.count < 1 << 16 else { throw .ENOSPC }
    let group = MemoryGroup(name, number: byNumber.count, limit: limit, swapLimit: swapLimit)
    byNumber.append(group)
    return group
  }

  func owner(of pfn: Int) -> MemoryGroup? { byNumber[Int(owners[pfn])] }
  func number(of pfn: Int) -> Int { Int(owners[pfn]) }

  /// The page is charged to the group, which has paid for it.
  func own(_ pfn: Int, _ group: MemoryGroup) {
    invariant(owners[pfn] == 0, "page \(pfn) is charged twice")
    owners[pfn] = UInt16(group.number)
  }

  /// The page is freed (`mem_cgroup_uncharge`).
  @inline(__always)
  func uncharge(_ pfn: Int) {
    let number = Int(owners[pfn])
    if number == 0 { return }
    owners[pfn] = 0
    byNumber[number]?.uncharge(1)
  }

  /// The charge moves with the page (`mem_cgroup_migrate`); nothing can fail.
  @inline(__always)
  func move(from old: Int, to new: Int) {
    let number = owners[old]
    if number == 0 { return }
    invariant(owners[new] == 0, "page \(new) is charged twice")
    owners[new] = number
    owners[old] = 0
  }

  /// Charges a slot to the group of the page that goes there (`mem_cgroup_try_charge_swap`).
  func chargeSwap(_ pfn: Int) -> Bool { owner(of: pfn)?.tryChargeSwap() ?? true }

  func unchargeSwap(_ number: Int) { byNumber[number]?.unchargeSwap() }

  /// Who pays for a page of `space`: the group that its slot is charged to, else the process's.
  func charged(for space: AddressSpace?, _ slot: Int, _ swap: SwapArea?) -> MemoryGroup? {
    if slot != 0, let swap, let group = byNumber[Int(swap.slots[slot].link)] { return group }
    return space?.group
  }
}
