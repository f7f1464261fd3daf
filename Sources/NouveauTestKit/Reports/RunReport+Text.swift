extension RunReport {
  /// One defect often shows on many pages; the text stops here, JSON doesn't.
  private static let shownMismatches = 12

  /// The report as text: one line for a pass; for a failure each mismatch and how to see it again.
  public func text() -> String {
    let time = Self.timeText(duration)
    guard !passed else {
      return "ok    \(scenario)  \(stepCount) steps, \(time)\n"
    }
    var lines = ["FAIL  \(scenario)  \(stepCount) steps, \(time), seed \(seed)"]
    for mismatch in mismatches.prefix(Self.shownMismatches) {
      lines.append("  \(mismatch.mark): step \(mismatch.step), \(mismatch.title)")
      lines.append("    expected: \(mismatch.expected)")
      lines.append("    got:      \(mismatch.got)")
      if let origin = mismatch.origin { lines.append("    made by:  \(origin)") }
    }
    if mismatches.count > Self.shownMismatches {
      lines.append("  and \(mismatches.count - Self.shownMismatches) more; --json lists all")
    }
    for (point, strikes) in injected {
      lines.append("  injected: \(point) failed \(strikes) time\(strikes == 1 ? "" : "s")")
    }
    lines.append("  again: \(replay)")
    return lines.joined(separator: "\n") + "\n"
  }

  /// Nanoseconds in a unit that leaves at most four digits before the point.
  public static func timeText(_ nanoseconds: UInt64) -> String {
    for (unit, scale) in [("s", UInt64(1_000_000_000)), ("ms", 1_000_000), ("us", 1_000)]
    where nanoseconds >= scale {
      let tenths = nanoseconds / (scale / 10)
      return "\(tenths / 10).\(tenths % 10) \(unit)"
    }
    return "\(nanoseconds) ns"
  }

  /// As ``timeText(_:)`` with every digit, so that moments can be told apart: `6.012 us`,
  /// `12.300000 ms`, `15.000006012 s`.
  public static func exactTimeText(_ nanoseconds: UInt64) -> String {
    for (unit, scale, places) in [
      ("s", UInt64(1_000_000_000), 9), ("ms", 1_000_000, 6), ("us", 1_000, 3),
    ] where nanoseconds >= scale {
      let digits = "\(nanoseconds % scale)"
      let zeros = String(repeating: "0", count: places - digits.count)
      return "\(nanoseconds / scale).\(zeros)\(digits) \(unit)"
    }
    return "\(nanoseconds) ns"
  }
}
