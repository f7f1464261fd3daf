import Foundation
import Fuzzing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The child's side of a campaign: it runs inputs and keeps its journal.
struct FuzzChild {
  let journal: String
  let work: FuzzWork

  /// Seconds that a block has; SIGALRM ends the process of one that hangs.
  static let patience: UInt32 = 20

  func run(_ indices: Range<UInt64>, block: UInt64) {
    guard FileManager.default.createFile(atPath: journal, contents: nil),
      let file = FileHandle(forWritingAtPath: journal)
    else { return }
    var work = work
    work.block = block
    let clock = ContinuousClock()
    let begin = clock.now
    work.onBlock = { index, tally in
      // A block has as many inputs as take a fraction of this; alone, an input has it to itself.
      _ = alarm(block == 1 ? Self.patience : 4 * Self.patience)
      Self.write(FuzzJournal(.at(index), tally), to: file)
      if block > 1 { progress(index, since: begin, clock, indices) }
    }
    let (tally, finding) = work.run(indices)
    _ = alarm(0)
    let state = finding.map { FuzzJournal.State.broken($0.index, $0.complaint) } ?? .end
    Self.write(FuzzJournal(state, tally), to: file)
    Terminal.progress("")
  }

  private func progress(
    _ index: UInt64, since begin: ContinuousClock.Instant, _ clock: ContinuousClock,
    _ indices: Range<UInt64>
  ) {
    let seconds = Double((clock.now - begin).components.seconds)
    let done = index - indices.lowerBound
    let rate = seconds > 0 ? ", \(UInt64(Double(done) / seconds)) inputs/s" : ""
    Terminal.progress("\(work.target.name): \(index) of \(work.range.size)\(rate)")
  }

  private static func write(_ journal: FuzzJournal, to file: FileHandle) {
    do {
      try file.truncate(atOffset: 0)
      try file.write(contentsOf: Data(journal.text.utf8))
    } catch {
      // Without a journal the supervisor takes the whole campaign for one block.
      return
    }
  }
}
