/// Runs a campaign in child processes, so that an input that traps is found and not fatal.
///
/// A child tells in its journal at which block of inputs it is. When it dies, the block is run once
/// more, one input a block, and the input at which that child dies is the one.
package struct FuzzSupervisor {
  /// What an input did.
  package struct Finding: Hashable, Sendable {
    /// Of the input in the campaign's range.
    package var index: UInt64
    package var kind: Kind
  }

  package enum Kind: Hashable, Sendable, CustomStringConvertible {
    /// It broke a promise of the target.
    case broken(String)
    /// The process ended by this signal.
    case trap(signal: Int32)
    /// No end in the time that an input has.
    case hang
    /// A process died among the inputs from this one on, and not again when they were run alone.
    case unrepeated(signal: Int32)

    package var description: String {
      switch self {
      case .broken(let complaint): complaint
      case .trap(let signal): "trap (signal \(signal))"
      case .hang: "no end in sight"
      case .unrepeated(let signal):
        "the process died (signal \(signal)) somewhere in the block that begins here, and not again"
      }
    }
  }

  /// How a child ended: its journal, and the signal that killed it, if one did.
  package struct Ending {
    package var journal: FuzzJournal
    package var signal: Int32?

    package init(_ journal: FuzzJournal, signal: Int32? = nil) {
      self.journal = journal
      self.signal = signal
    }
  }

  /// Inputs of the campaign.
  package let size: UInt64
  /// Inputs between two entries of the journal.
  package var block: UInt64 = 1024
  /// A campaign with so many findings ends.
  package var mostFindings = 10
  /// The signal by which a child ends that an input holds up: SIGALRM.
  package static let hangSignal: Int32 = 14
  /// Runs the inputs of these indices in a child, with a journal entry each so many inputs.
  package let child: (Range<UInt64>, _ block: UInt64) throws -> Ending

  package init(
    size: UInt64, child: @escaping (Range<UInt64>, _ block: UInt64) throws -> Ending
  ) {
    self.size = size
    self.child = child
  }

  /// The whole campaign: how inputs ended, and what was found.
  package func run() throws -> (tally: FuzzTally, findings: [Finding]) {
    var tally = FuzzTally()
    var findings: [Finding] = []
    var start: UInt64 = 0
    while start < size, findings.count < mostFindings {
      let ending = try child(start..<size, block)
      tally.add(ending.journal.tally)
      switch ending.journal.state {
      case .end: return (tally, findings)
      case .broken(let index, let complaint):
        findings.append(Finding(index: index, kind: .broken(complaint)))
        start = index + 1
      case .at(let index):
        let end = min(size, index + block)
        let (finding, counted) = try narrow(index..<end, ending.signal ?? 0)
        tally.add(counted)
        findings.append(finding)
        if case .unrepeated = finding.kind { start = end } else { start = finding.index + 1 }
      }
    }
    return (tally, findings)
  }

  /// Finds the input of a block that killed a process.
  private func narrow(
    _ range: Range<UInt64>, _ signal: Int32
  ) throws -> (Finding, FuzzTally) {
    let ending = try child(range, 1)
    let tally = ending.journal.tally
    switch ending.journal.state {
    case .end:
      return (Finding(index: range.lowerBound, kind: .unrepeated(signal: signal)), tally)
    case .broken(let index, let complaint):
      return (Finding(index: index, kind: .broken(complaint)), tally)
    case .at(let index):
      let signal = ending.signal ?? signal
      return (
        Finding(
          index: index, kind: signal == Self.hangSignal ? .hang : .trap(signal: signal)), tally
      )
    }
  }
}
