/// Pages of one mapping that a migration left where they were, for one reason.
public struct StayedPages: Hashable, Sendable {
  public let pages: PageRange
  /// The reason's name in the schema.
  public let reason: String
  /// The reason in words, with counts and names.
  public let detail: String

  public init(_ pages: PageRange, reason: String, detail: String) {
    self.pages = pages
    self.reason = reason
    self.detail = detail
  }
}

/// What one step of a scenario migrated, and what stayed.
public struct MigrationNote: Hashable, Sendable {
  /// The step's number.
  public let step: String
  /// What the step is.
  public let title: String
  public let span: PageSpan
  /// Pages that moved; nil when the step came back with an error.
  public let moved: Int?
  /// By page.
  public let stayed: [StayedPages]

  /// Why a page stayed; nil when it moved, or was not asked for.
  func reason(of page: Int) -> StayedPages? {
    stayed.first { $0.pages.pages.contains(page) }
  }
}
