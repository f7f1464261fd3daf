public import Base
import Foundation
public import KernelRuntime

/// Writes the token of the run in progress to a file, decision by decision, so that a run that
/// traps leaves behind what repeats it.
///
/// A broken invariant ends the process, and nothing in it can be asked afterwards. Whoever explores
/// a flow that may trap does so in a child process with ``Exploration/announce`` telling the number
/// of each order; when the child dies, the order is run once more, alone, with a journal.
public final class TrapJournal {
  private let file: FileHandle
  private let flow: String
  private let injections: [Injection]
  private let seed: UInt64
  private var entries: [Schedule.Entry] = []

  /// - Parameter path: of the file, which is made or emptied.
  public init(
    path: String, flow: String, seed: UInt64, injections: [Injection] = []
  ) throws(KernelError) {
    guard FileManager.default.createFile(atPath: path, contents: nil),
      let file = FileHandle(forWritingAtPath: path)
    else { throw .EIO }
    self.file = file
    self.flow = flow
    self.seed = seed
    self.injections = injections
    write()
  }

  /// Follows a runner's runs; each begins the journal anew.
  public func follow(_ runner: FlowRunner) {
    runner.observer = { [self] index, _, _, decision in
      if index == 0 { entries.removeAll(keepingCapacity: true) }
      if decision == .usual { return }
      entries.append(Schedule.Entry(index: index, decision: decision))
      write()
    }
  }

  private func write() {
    // Without the number of decisions and their hash: they are known at a run's end only, and a
    // token without them is repeated unchecked.
    let token = ReplayToken(
      flow: flow, schedule: Schedule(seed: seed, entries: entries), injections: injections)
    do {
      try file.truncate(atOffset: 0)
      try file.write(contentsOf: Data("\(token)\n".utf8))
    } catch {
      // A full disk must not change what the run does.
      return
    }
  }

  /// The token that a journal holds; nil when there is none.
  public static func read(path: String, points: [InjectionPoint] = []) -> ReplayToken? {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8),
      let line = text.split(separator: "\n").first
    else { return nil }
    return try? ReplayToken(parsing: String(line), points: points)
  }
}
