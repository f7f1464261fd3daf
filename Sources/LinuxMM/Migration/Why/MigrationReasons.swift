import Base

/// The reasons of one migration, one word a place, kept only when they are asked for.
///
/// INVARIANT: the first reason of a place stays: what kept it from being collected is not replaced
/// by what commit says of a place that was never collected.
final class MigrationReasons {
  private var byPlace: [MigrationReason?]

  init(capacity: Int) { byPlace = [MigrationReason?](repeating: nil, count: capacity) }

  subscript(place: Int) -> MigrationReason? { byPlace[place] }

  func begin(_ count: Int) {
    for place in 0..<min(count, byPlace.count) { byPlace[place] = nil }
  }

  func note(_ place: Int, _ reason: MigrationReason) {
    if byPlace[place] == nil { byPlace[place] = reason }
  }
}

extension MigrationBuffers {
  /// Room for `pages` pages, with the reason of each page that doesn't migrate when `explains`.
  public convenience init(pages: Int, explains: Bool) {
    self.init(pages: pages)
    self.explains = explains
  }

  /// Whether migrations through these arrays keep their reasons.
  public var explains: Bool {
    get { reasons != nil }
    set {
      guard newValue != explains else { return }
      reasons = newValue ? MigrationReasons(capacity: capacity) : nil
    }
  }

  /// Why place `i` of the last migration stayed; nil when it moved, or when nobody asked before.
  ///
  /// Reasons stand from setup on, and until the next setup through these arrays.
  public func reason(_ i: Int) -> MigrationReason? {
    invariant(i >= 0 && i < capacity, "place \(i) of \(capacity)")
    return reasons?[i]
  }
}

extension CollectedPages {
  /// Whether reasons are kept.
  public var explains: Bool { buffers.explains }

  /// Why page `i` could not be had at setup; nil when it may migrate, or when nobody asked.
  public func reason(_ i: Int) -> MigrationReason? { buffers.reason(i) }

  /// Tells why the driver leaves page `i` where it is; nothing when no reasons are kept.
  public func explain(_ i: Int, _ reason: @autoclosure () -> MigrationReason) {
    guard let reasons = buffers.reasons, arrays[source: i].migrates else { return }
    reasons.note(i, reason())
  }
}

extension CommittedPages {
  /// Why page `i` stayed; nil when it moved, or when nobody asked.
  public func reason(_ i: Int) -> MigrationReason? { buffers.reason(i) }
}
