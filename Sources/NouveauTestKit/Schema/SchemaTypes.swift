import Base

/// The form of one value in a scenario file.
public indirect enum SchemaType: Sendable {
  /// Any text.
  case text
  /// Text that must be one of these, each with what it means.
  case choice([SchemaChoice])
  /// Declares a name; unique among names of its kind.
  case name(NameKind)
  /// A name declared elsewhere in the file.
  case reference(NameKind)
  /// A whole number in a range.
  case integer(ClosedRange<UInt64>)
  /// Bytes with a unit, in a range and a multiple of something.
  case size(ClosedRange<UInt64>, multipleOf: UInt64)
  /// Time with a unit.
  case duration
  /// `true` or `false`.
  case flag
  /// `P0..P15`.
  case pages
  /// `P3+16`.
  case offset
  /// Hex bytes.
  case bytes
  /// `3`, `>= 3`, `1..5`.
  case comparison
  /// Nothing: the key alone says it, as in `- suspend:`.
  case nothing
  case list(SchemaType)
  /// An object of the table.
  case object(SchemaObjectName)
  /// Free keys of one form, each with a value of one form.
  case table(key: SchemaType, value: SchemaType)
  /// The first form that fits the value's shape: a scalar, a list, an object.
  case either(SchemaType, SchemaType)
}

/// One allowed word.
public struct SchemaChoice: Hashable, Sendable {
  public let name: String
  public let summary: String

  public init(_ name: String, _ summary: String) {
    self.name = name
    self.summary = summary
  }
}

/// What a name names. Names of different kinds don't collide.
public enum NameKind: String, Sendable, CaseIterable {
  case process
  case mapping
  case pin
  case lock
  case task
}

/// One key of an object.
public struct SchemaKey: Sendable {
  public let name: String
  public let type: SchemaType
  public let isRequired: Bool
  /// What holds when the key is left out, as text for the document.
  public let fallback: String?
  public let summary: String
  /// The value in an example of this key.
  public let example: String

  init(
    _ name: String, _ type: SchemaType, required: Bool = false, fallback: String? = nil,
    example: String, _ summary: String
  ) {
    self.name = name
    self.type = type
    self.isRequired = required
    self.fallback = fallback
    self.example = example
    self.summary = summary
  }
}

/// Keys of which a given number must stand in an object.
public struct SchemaGroup: Sendable {
  public enum Count: Sendable {
    case exactlyOne
    case atMostOne
    case atLeastOne
  }
  public let keys: [String]
  public let count: Count
}

/// The objects of a scenario file.
public enum SchemaObjectName: String, Sendable, CaseIterable {
  case scenario, machine, process, mapping, step
  case fill, write, read, touch, migrate, pin, hold, protect, unmap
  case fork, move, advise, poison
  case branch
  case repeat_ = "repeat"
  case spawn, arm, stall
  case expect, data, fences, trace
}

/// One kind of object: its keys and the rules between them.
public struct SchemaObject: Sendable {
  public let name: SchemaObjectName
  public let summary: String
  public let keys: [SchemaKey]
  public let groups: [SchemaGroup]
  /// A complete fragment, from the top of a file or as an item of `steps`.
  public let sample: String

  init(
    _ name: SchemaObjectName, _ summary: String, sample: String, groups: [SchemaGroup] = [],
    _ keys: [SchemaKey]
  ) {
    self.name = name
    self.summary = summary
    self.sample = sample
    self.groups = groups
    self.keys = keys
  }

  func key(_ name: String) -> SchemaKey? { keys.first { $0.name == name } }
}

/// The table that the parser, the document and the suggestions share.
public enum Schema {
  /// Every kind of object, in the order of the document.
  public static let objects: [SchemaObject] =
    topObjects + stepObjects + processObjects + controlObjects + expectationObjects

  /// The object of this kind.
  static func object(_ name: SchemaObjectName) -> SchemaObject {
    guard let found = objects.first(where: { $0.name == name }) else {
      invariantFailed("object \(name) is missing from the table")
    }
    return found
  }
}
