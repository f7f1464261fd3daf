import Foundation

extension ResultSet {
  /// Why a file of results can't be read.
  public struct FormatError: Error, Hashable, Sendable, CustomStringConvertible {
    public let problem: String
    public var description: String { "results: \(problem)" }
  }

  /// The results as JSON with sorted keys: the same text for the same results.
  public var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    // Strings, numbers and lists of them always encode.
    guard let data = try? encoder.encode(self) else { return "" }
    return String(decoding: data, as: UTF8.self) + "\n"
  }

  /// Reads what ``json`` wrote.
  public init(json: String) throws(FormatError) {
    do {
      self = try JSONDecoder().decode(ResultSet.self, from: Data(json.utf8))
    } catch let error as DecodingError {
      throw FormatError(problem: Self.explain(error))
    } catch {
      throw FormatError(problem: "\(error)")
    }
  }

  private static func explain(_ error: DecodingError) -> String {
    func place(_ context: DecodingError.Context) -> String {
      let path = context.codingPath.map(\.stringValue).joined(separator: ".")
      return path.isEmpty ? "at the top" : "at \(path)"
    }
    switch error {
    case .dataCorrupted(let context) where context.codingPath.isEmpty:
      return "not JSON; name a file that sweep or explore wrote with --json"
    case .keyNotFound(let key, let context): return "no '\(key.stringValue)' \(place(context))"
    case .typeMismatch(_, let context), .valueNotFound(_, let context),
      .dataCorrupted(let context):
      return "\(context.debugDescription) \(place(context))"
    @unknown default: return "\(error)"
    }
  }
}
