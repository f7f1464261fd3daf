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

  /// As the language of scenarios explains it.
  var meaning: String {
    switch self {
    case .faultDuringEviction: "a CPU fault ran while an eviction moved pages"
    case .faultDuringMigration: "a CPU fault ran while a batch was on its way to the device"
    case .faultsAtOnce: "two CPU faults asked for pages of the device at once"
    case .waitOnEntry: "a fault slept on a migration entry"
    case .copyFailed: "a copy failed and its pages stayed"
    case .commitRefused: "a commit moved fewer pages than were collected"
    case .ringFull: "somebody waited for room in a ring"
    case .eviction: "a chunk was emptied by eviction"
    }
  }
}
