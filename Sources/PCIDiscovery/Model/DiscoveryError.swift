/// A place in a text that a person can go to.
public struct TextPlace: Hashable, Sendable, CustomStringConvertible {
  public var file: String
  /// From 1.
  public var line: Int
  /// From 1, counted in bytes.
  public var column: Int

  public init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }

  public var description: String { "\(file):\(line):\(column)" }
}

/// What went wrong, where, and what to do about it.
public struct DiscoveryError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Where in an input; nil when the fault lies with the machine.
  public var place: TextPlace?
  public var message: String
  public var remedy: String

  public init(place: TextPlace? = nil, _ message: String, remedy: String) {
    self.place = place
    self.message = message
    self.remedy = remedy
  }

  public var description: String {
    (place.map { "\($0): " } ?? "") + message + "; " + remedy
  }
}
