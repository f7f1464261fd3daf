import Foundation

/// One breach of the contract that must not compile, and what the compiler says of it.
struct Misuse {
  static let file = "Tests/ContractTests/MisuseTests.swift"

  /// In docs/contract.md.
  let name: String
  /// A declaration on one line.
  let code: String
  let diagnostic: String
  /// Ownership is checked only in code that has no other error, so such misuses are compiled apart.
  var isOwnership = false

  static let imports = [
    "import Base", "import DMAFence", "import KernelRuntime", "import LinuxMM",
  ]

  static let all: [Misuse] = types + ownership

  static let types: [Misuse] = [
    Misuse(
      name: "writeSource",
      code: "func f(_ p: borrowing CollectedPages) { p[source: 0] = .empty }",
      diagnostic: "subscript is get-only"),
    Misuse(
      name: "writeDestinationAfterCommit",
      code: "func f(_ c: borrowing CommittedPages) { c[destination: 0] = .empty }",
      diagnostic: "subscript is get-only"),
    Misuse(
      name: "finalizeCollected",
      code: "func f(_ p: consuming CollectedPages) { p.finalize() }",
      diagnostic: "'CollectedPages' has no member 'finalize'"),
    Misuse(
      name: "sleepInCallback",
      code: "func f(_ f: Fence, _ k: Kernel) { f.addCallback { _ in await k.sleep(1) } }",
      diagnostic: "cannot pass function of type '(Fence) async"),
    Misuse(
      name: "sleepUnderSpinLock",
      code: "func f(_ l: SpinLock, _ k: Kernel) async { l.withLock { await k.sleep(1) } }",
      diagnostic: "to parameter expecting synchronous function type"),
    Misuse(
      name: "SleepingEnable",
      code: """
        final class E: FenceOperations { let driverName = "", timelineName = ""; let k: Kernel; \
        init(_ k: Kernel) { self.k = k }; \
        func enableSignaling(_ f: Fence) -> Bool { await k.sleep(1); return true } }
        """,
      diagnostic: "'async' call in a function that does not support concurrency"),
    Misuse(
      name: "SleepingFree",
      code: """
        final class F: DevicePagemapOperations { let k: Kernel; init(_ k: Kernel) { self.k = k }; \
        func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome { .done }; \
        func pageFree(_ pfn: PFN) { await k.sleep(1) } }
        """,
      diagnostic: "'async' call in a function that does not support concurrency"),
    Misuse(
      name: "NoAnswer",
      code: """
        final class N: DevicePagemapOperations { func pageFree(_ pfn: PFN) {}; \
        func migrateToRAM(_ fault: DeviceFault) async {} }
        """,
      diagnostic: "does not conform to protocol 'DevicePagemapOperations'"),
    Misuse(
      name: "pagemapWithoutOwner",
      code: """
        func f(_ r: PFNRange, _ o: any DevicePagemapOperations) -> DevicePagemap \
        { DevicePagemap(kind: .devicePrivate, range: r, operations: o) }
        """,
      diagnostic: "missing argument for parameter 'owner'"),
    Misuse(
      name: "pagemapWithoutOperations",
      code: """
        func f(_ r: PFNRange, _ o: PagemapOwner) -> DevicePagemap \
        { DevicePagemap(kind: .devicePrivate, range: r, owner: o) }
        """,
      diagnostic: "missing argument for parameter 'operations'"),
    Misuse(
      name: "setupErrorIgnored",
      code: """
        func f(_ s: AddressSpace, _ r: MigrationRequest, _ b: MigrationBuffers) async \
        { let p = await s.migrateSetup(r, b); p.abandon() }
        """,
      diagnostic: "call can throw"),
  ]

  static let ownership: [Misuse] = [
    Misuse(
      name: "finalizeTwice",
      code: "func f(_ c: consuming CommittedPages) { c.finalize(); c.finalize() }",
      diagnostic: "'c' consumed more than once", isOwnership: true),
    Misuse(
      name: "commitAfterAbandon",
      code: """
        func f(_ p: consuming CollectedPages) async { p.abandon(); await p.commit().finalize() }
        """,
      diagnostic: "'p' consumed more than once", isOwnership: true),
    Misuse(
      name: "writeAfterCommit",
      code: """
        func f(_ p: consuming CollectedPages) async \
        { let c = await p.commit(); p[destination: 0] = .empty; c.finalize() }
        """,
      diagnostic: "'p' used after consume", isOwnership: true),
    Misuse(
      name: "commitBorrowed",
      code: "func f(_ p: borrowing CollectedPages) async { await p.commit().finalize() }",
      diagnostic: "'p' is borrowed and cannot be consumed", isOwnership: true),
    Misuse(
      name: "closeSectionTwice",
      code: """
        func f(_ k: Kernel) \
        { let c = k.beginSignalling(); k.endSignalling(c); k.endSignalling(c) }
        """,
      diagnostic: "'c' consumed more than once", isOwnership: true),
  ]

  /// The same steps in the right order: shows that the modules are found and that the diagnostics
  /// above are of the misuse.
  static let sound = [
    "func a(_ p: consuming CollectedPages) async { p[destination: 0] = .empty; "
      + "await p.commit().finalize() }",
    "func b(_ k: Kernel) { let c = k.beginSignalling(); k.endSignalling(c) }",
    "func c(_ l: SpinLock, _ k: Kernel) async { l.withLock {}; await k.sleep(1) }",
  ]
}
