public import KernelRuntime

// The events of memory management, in the kernel's words.
extension TraceKind {
  /// A CPU access faulted and was served.
  public static let cpuFault = TraceKind("cpu_fault", ["address", "write"], shape: .span)
  /// A CPU access ended with a signal: 1 SEGV_MAPERR, 2 SEGV_ACCERR, 3 SIGBUS, 4 out of memory.
  public static let cpuFaultFailed = TraceKind("cpu_fault_failed", ["address", "signal", "errno"])
  /// A device-private page was touched and its driver asked.
  public static let migrateToRAM = TraceKind("migrate_to_ram", ["address", "pfn"], shape: .span)
  /// A fault slept on a migration entry.
  public static let migrationEntryWait = TraceKind(
    "migration_entry_wait", ["address", "pfn"], shape: .span)
  /// A migration began.
  public static let migrateSetup = TraceKind("migrate_vma_setup", ["start", "pages"])
  /// A migration locked and unmapped its pages.
  public static let migrateCollect = TraceKind("migrate_vma_collect", ["start", "pages", "taken"])
  /// A migration moved its pages.
  public static let migrateCommit = TraceKind("migrate_vma_pages", ["start", "pages", "moved"])
  /// A migration mapped the winners.
  public static let migrateFinalize = TraceKind("migrate_vma_finalize", ["start", "pages"])
  /// Mirrors were told to stop using a range; `event` is the place in ``NotifierEvent/Kind``.
  public static let invalidateStart = TraceKind(
    "invalidate_range_start", ["start", "end", "event"])
  /// Mirrors may use the range again.
  public static let invalidateEnd = TraceKind("invalidate_range_end", ["start", "end", "event"])
  /// A device page was handed out.
  public static let devicePageInit = TraceKind("zone_device_page_init", ["pfn"])
  /// A device page went back to its driver.
  public static let devicePageFree = TraceKind("page_free", ["pfn"])
  /// A page was written to swap space.
  public static let swapWrite = TraceKind("swap_writepage", ["pfn", "slot"])
  /// A page was read from swap space.
  public static let swapRead = TraceKind("swap_read_folio", ["pfn", "slot"])
  /// A process was killed for its memory; `pages` is what it had.
  public static let outOfMemoryKill = TraceKind("oom_kill_process", ["space", "pages"])
  /// Device memory got page metadata.
  public static let memremap = TraceKind("memremap_pages", ["pfn", "pages"])
  /// Device memory lost its page metadata.
  public static let memunmap = TraceKind("memunmap_pages", ["pfn", "pages"])
}
