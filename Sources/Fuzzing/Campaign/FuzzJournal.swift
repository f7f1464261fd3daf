/// What a campaign's child process leaves behind, whatever becomes of it: how far it came and how
/// the inputs until then ended.
package struct FuzzJournal: Hashable, Sendable {
  package enum State: Hashable, Sendable {
    /// It is at the inputs from this index on.
    case at(UInt64)
    /// It is done.
    case end
    /// The input of this index broke a promise.
    case broken(UInt64, String)
  }

  package var state: State
  package var tally: FuzzTally

  package init(_ state: State, _ tally: FuzzTally) {
    self.state = state
    self.tally = tally
  }

  /// One line for the state, one for each ending.
  package var text: String {
    let head =
      switch state {
      case .at(let index): "at \(index)"
      case .end: "end"
      case .broken(let index, let complaint):
        "broken \(index) \(complaint.split(separator: "\n").joined(separator: " "))"
      }
    return ([head] + tally.endings.map { "\($0.count) \($0.name)" }).joined(separator: "\n") + "\n"
  }

  /// Reads ``text``; nil when it is none.
  package init?(parsing text: String) {
    let lines = text.split(separator: "\n")
    guard let head = lines.first?.split(separator: " ", maxSplits: 2) else { return nil }
    switch (head.first, head.dropFirst().first.flatMap { UInt64($0) }) {
    case ("end", nil): state = .end
    case ("at", let index?): state = .at(index)
    case ("broken", let index?): state = .broken(index, head.count > 2 ? String(head[2]) : "")
    default: return nil
    }
    tally = FuzzTally()
    for line in lines.dropFirst() {
      let parts = line.split(separator: " ", maxSplits: 1)
      guard parts.count == 2, let count = UInt64(parts[0]) else { return nil }
      tally.add(String(parts[1]), count)
    }
  }
}
