import Base
import KernelRuntime

extension MemoryManager {
  /// Kills the process with the most memory, in `group` or at all, and takes its pages
  /// (`out_of_memory`). False when killing is off or nobody is left to kill.
  func killForMemory(_ group: MemoryGroup?) async -> Bool {
    guard configuration.killsWhenOutOfMemory else { return false }
    var victim: AddressSpace?
    for space in addressSpaces {
      guard !space.isUnstable, !space.isExiting, space.badness > 0 else { continue }
      guard group == nil || space.group === group else { continue }
      if space.badness > victim?.badness ?? 0 { victim = space }
    }
    guard let victim else { return false }
    await kill(victim)
    return true
  }

  /// Kills a process for its memory (`oom_kill_process`): nothing can be filled in any more, and
  /// its pages go at once, in RAM, in swap space and on devices.
  public func kill(_ victim: AddressSpace) async {
    guard !victim.isUnstable, !victim.isExiting else { return }
    tally.kills += 1
    kernel.trace.record(
      .outOfMemoryKill, UInt64(addressSpaces.firstIndex { $0 === victim } ?? 0),
      UInt64(victim.badness))
    victim.group?.countKill()
    victim.markUnstable()
    if await victim.reap() { return }
    // SOURCE: mm/oom_kill.c, MAX_OOM_REAP_RETRIES and the HZ/10 between them, of 6.12.
    kernel.spawn("oom_reaper") {
      for _ in 0..<10 {
        await self.kernel.sleep(100_000_000)
        if await victim.reap() { return }
      }
    }
  }
}

extension AddressSpace {
  /// What the process would free, in pages (`oom_badness`): pages on devices count as any others
  /// (R43), and so do swap slots and page tables.
  public var badness: Int { tally.rss + tally.swapEntries + tally.pageTables }

  /// Takes the pages of a killed process (`oom_reap_task_mm`); false when a lock or a mirror that
  /// would have to sleep is in the way.
  func reap() async -> Bool {
    if isExiting { return true }
    // The victim may be who asked for memory, in a fault of its own.
    let isOwn = mmapLock.isHeldOrSharedByCurrent
    guard isOwn || mmapLock.tryLockShared() else { return false }
    defer { if !isOwn { mmapLock.unlockShared() } }
    var isComplete = true
    for vma in mappings where !vma.isSpecial && !vma.flags.contains(.shared) {
      let event = NotifierEvent(.unmap, vma.range, isBlockable: false)
      do throws(KernelError) {
        try await notifiers.start(self, event)
      } catch {
        isComplete = false
        continue
      }
      manager.lru.drainAll()
      zap(vma.range)
      invalidateEnd(event)
    }
    return isComplete
  }
}
