public import Base
import KernelRuntime

extension MemoryManager {
  /// A new group without processes; limits are in pages, nil for none.
  ///
  /// Until the first group is made, no page is charged to anybody. `EINVAL` for a negative limit.
  public func createGroup(
    _ name: String, limit: Int? = nil, swapLimit: Int? = nil
  ) throws(KernelError) -> MemoryGroup {
    guard limit ?? 0 >= 0, swapLimit ?? 0 >= 0 else { throw .EINVAL }
    let known: MemoryGroups
    if let groups { known = groups } else { known = try MemoryGroups(pages: pages.count) }
    let group = try known.make(name, limit: limit ?? .max, swapLimit: swapLimit ?? .max)
    groups = known
    frames.groups = known
    return group
  }

  /// The group that a page is charged to; nil for none.
  public func group(of pfn: PFN) -> MemoryGroup? { groups?.owner(of: pfn.index) }

  /// Charges `count` pages, reclaiming from the group and then killing in it as needed
  /// (`try_charge_memcg`); `ENOMEM` when they don't fit all the same.
  func charge(
    _ group: MemoryGroup, _ count: Int, for space: AddressSpace?
  ) async throws(KernelError) {
    try failures.check(.groupCharge)
    // SOURCE: mm/memcontrol.c, MAX_RECLAIM_RETRIES of 6.12.
    for _ in 0..<16 {
      if group.tryCharge(count) { return }
      if await reclaim(pages: max(count, Self.reclaimBatch), of: group) > 0 { continue }
      group.countOutOfMemory()
      guard space?.isUnstable != true, await killForMemory(group) else { break }
    }
    throw .ENOMEM
  }

  /// Reclaims what a charge of `count` pages would need.
  func makeRoom(in group: MemoryGroup, pages count: Int) async {
    let (wanted, isUnlimited) = (group.charged + count).subtractingReportingOverflow(group.limit)
    if !isUnlimited && wanted > 0 { _ = await reclaim(pages: wanted, of: group) }
  }
}

extension AddressSpace {
  /// Moves the process to a group, or out of its own with nil; pages that it has stay charged where
  /// they are.
  public func join(_ group: MemoryGroup?) { self.group = group }
}
