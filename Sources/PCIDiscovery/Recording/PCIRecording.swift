import FoundationEssentials

/// A machine's PCI devices as a file: what `nouveau devices --record` writes and `--from` reads.
///
/// The form is described in docs/discovery.md.
public struct PCIRecording: Hashable, Sendable {
  /// What the member `format` says.
  public static let format = "nouveau-devices"
  /// The form's version; a reader refuses others.
  public static let version = 1

  /// Where the recording comes from, in a person's words.
  public var note: String
  public var devices: [PCIDeviceRecord]

  public init(note: String, devices: [PCIDeviceRecord]) {
    self.note = note
    self.devices = devices
  }
}

extension PCIRecording: Codable {
  private enum CodingKeys: String, CodingKey {
    case format
    case version
    case note
    case devices
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    let format = try container.decode(String.self, forKey: .format)
    guard format == Self.format else {
      throw DecodingError.dataCorruptedError(
        forKey: .format, in: container,
        debugDescription: "the format is '\(format.prefix(40))', not '\(Self.format)'")
    }
    let version = try container.decode(Int.self, forKey: .version)
    guard version == Self.version else {
      throw DecodingError.dataCorruptedError(
        forKey: .version, in: container,
        debugDescription: "version \(version) of the form; this program reads \(Self.version)")
    }
    note = try container.decodeIfPresent(String.self, forKey: .note) ?? ""
    devices = try container.decode([PCIDeviceRecord].self, forKey: .devices)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(Self.format, forKey: .format)
    try container.encode(Self.version, forKey: .version)
    try container.encode(note, forKey: .note)
    try container.encode(devices, forKey: .devices)
  }
}

extension PCIRecording {
  /// Reads a recording; an error says at which line and column and what to do.
  public static func parse(_ bytes: [UInt8], file: String) throws(DiscoveryError) -> PCIRecording {
    let text = SourceText(bytes: bytes, file: file)
    try text.requireUTF8()
    let places: JSONPlaces
    do {
      places = try JSONPlaces(bytes)
    } catch {
      throw text.error(
        at: error.offset, error.message,
        remedy: "write the recording again with --record, or repair it there")
    }
    do {
      return try JSONDecoder().decode(PCIRecording.self, from: Data(bytes))
    } catch let error as DecodingError {
      let (path, message) = Self.explain(error)
      throw text.error(
        at: places.offset(of: path), message,
        remedy: "docs/discovery.md describes the members of a recording")
    } catch {
      throw DiscoveryError(
        place: text.place(of: 0), "the recording can't be decoded: \(error)",
        remedy: "write it again with --record")
    }
  }

  private static func explain(_ error: DecodingError) -> (path: [String], message: String) {
    func names(_ path: [any CodingKey]) -> [String] {
      path.map { $0.intValue.map(String.init) ?? $0.stringValue }
    }
    switch error {
    case .keyNotFound(let key, let context):
      return (names(context.codingPath), "the member \"\(key.stringValue)\" is missing")
    case .typeMismatch(let type, let context):
      return (names(context.codingPath), "a value of another type; \(type) belongs here")
    case .valueNotFound(let type, let context):
      return (names(context.codingPath), "null; \(type) belongs here")
    case .dataCorrupted(let context):
      return (names(context.codingPath), context.debugDescription)
    @unknown default:
      return ([], "the recording can't be decoded")
    }
  }

  /// The recording as text: members in alphabetical order, two spaces a level, a final newline.
  public func text() throws(DiscoveryError) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
    } catch {
      throw DiscoveryError("the recording can't be encoded: \(error)", remedy: "report this defect")
    }
  }
}
