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
