/// The bytes of a scenario's fills by the number of their step, made once for many runs.
final class FillCache: Sendable {
  private let bytes: [String: [UInt8]]

  init(_ steps: [Step]) {
    var bytes: [String: [UInt8]] = [:]
    Self.add(steps, &bytes)
    self.bytes = bytes
  }

  subscript(step: String) -> [UInt8]? { bytes[step] }

  private static func add(_ steps: [Step], _ bytes: inout [String: [UInt8]]) {
    for step in steps {
      switch step.action {
      case .fill(let pages, let source, _): bytes[step.number] = source.bytes(for: ByteSpan(pages))
      case .parallel(let branches): for branch in branches { add(branch.steps, &bytes) }
      case .spawn(let branch): add(branch.steps, &bytes)
      case .repeated(_, let steps): add(steps, &bytes)
      default: continue
      }
    }
  }
}
