/// A place in an assembly source.
public struct FalconSourcePlace: Hashable, Sendable, CustomStringConvertible {
  public let file: String
  /// Counts from 1.
  public let line: Int
  /// Counts from 1, in characters.
  public let column: Int

  public var description: String { "\(file):\(line):\(column)" }
}

/// One thing wrong with an assembly source, and what to do about it.
public struct FalconAssemblyProblem: Error, Hashable, Sendable, CustomStringConvertible {
  public let place: FalconSourcePlace
  public let message: String
  public let remedy: String

  public var description: String { "\(place): \(message); \(remedy)" }
}

/// Everything wrong with an assembly source, in source order, at most ``capacity`` entries.
public struct FalconAssemblyError: Error, Hashable, Sendable, CustomStringConvertible {
  public static let capacity = 50
  public let problems: [FalconAssemblyProblem]

  public var description: String {
    problems.map(\.description).joined(separator: "\n")
  }
}

/// What an assembly source became.
public struct FalconProgram: Hashable, Sendable {
  public enum Section: String, Sendable {
    case code
    case data
  }

  public struct Symbol: Hashable, Sendable {
    public let name: String
    public let section: Section
    public let value: UInt32
  }

  public let code: [UInt8]
  public let data: [UInt8]
  /// Labels in source order.
  public let symbols: [Symbol]

  /// The value of a label, or nil.
  public func address(of label: String) -> UInt32? {
    symbols.first { $0.name == label }?.value
  }
}
