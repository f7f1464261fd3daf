import KernelRuntime

/// Plays a property test's steps, each followed by `check`, and then `end`: what went wrong first,
/// with the step it happened in; nil when nothing did.
func failure<Step>(
  of steps: [Step], on kernel: Kernel, play: @escaping (Step) async throws -> Void,
  check: @escaping () throws -> Void, end: @escaping () async throws -> Void
) throws -> String? {
  var failure: String?
  try kernel.run {
    do {
      for (number, step) in steps.enumerated() {
        do {
          try await play(step)
          try check()
        } catch {
          throw Mismatch("step \(number), \(step): \(error)")
        }
      }
      try await end()
    } catch {
      failure = "\(error)"
    }
  }
  return failure
}
