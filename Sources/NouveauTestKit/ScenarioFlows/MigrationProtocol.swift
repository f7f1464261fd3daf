/// The protocols of a migration whose states and edges are counted, as traces show them.
public enum MigrationProtocol {
  /// A migration by `migrate_vma_*`, from set-up to the end.
  ///
  /// SOURCE: Documentation/mm/hmm.rst, "Migration to and from device memory".
  public static let migration = ProtocolMap(
    "migration", states: ["set up", "collected", "committed", "finalized"],
    edges: [
      ("set up", "collected"), ("collected", "committed"), ("committed", "finalized"),
      ("collected", "finalized"), ("finalized", "set up"), ("collected", "set up"),
      ("set up", "finalized"),
    ])

  /// A page of device memory.
  public static let devicePage = ProtocolMap(
    "device page", states: ["in use", "free"], edges: [("in use", "free"), ("free", "in use")])

  /// A fence, from its emission to its signal.
  public static let fence = ProtocolMap(
    "fence", states: ["emitted", "signalled", "failed"],
    edges: [("emitted", "signalled"), ("emitted", "failed")])

  static let maps = [migration, devicePage, fence]
}

/// What an order may reach, by the names that reachability expectations use.
public enum MigrationMark: String, Sendable, CaseIterable {
  /// A CPU fault ran while an eviction moved pages.
  case faultDuringEviction = "CPU fault during eviction"
  /// A CPU fault ran while a batch was on its way to the device.
  case faultDuringMigration = "CPU fault during migration"
  /// Two CPU faults asked for pages of the device at once.
  case faultsAtOnce = "two CPU faults at once"
  /// A fault slept on a migration entry.
  case waitOnEntry = "wait on a migration entry"
  /// A copy failed and its pages stayed.
  case copyFailed = "failed copy"
  /// A commit moved fewer pages than were collected.
  case commitRefused = "commit refused a page"
  /// Somebody waited for room in a ring.
  case ringFull = "ring full"
  /// A chunk was emptied by eviction.
  case eviction = "eviction"
}
