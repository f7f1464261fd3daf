/// What must be undone, newest first: one list serves a failed bring-up and a shutdown alike.
///
/// Kernel: devm_add_action_or_reset (drivers/base/devres.c) is the same idea
final class TeardownStack {
  private var steps: [(name: String, undo: () async -> Void)] = []

  func push(_ name: String, _ undo: @escaping () async -> Void) { steps.append((name, undo)) }

  /// Undoes everything; a second run does nothing.
  func run() async {
    while let step = steps.popLast() { await step.undo() }
  }
}
