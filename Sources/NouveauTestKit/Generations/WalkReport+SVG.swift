// The plot of docs/api-generations.md: time and entries a page, a group of bars for each content.
extension WalkReport {
  /// A drawing of 760 by 560.
  public func svg() -> String {
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 560\" "
        + "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#222\">",
      "<rect width=\"760\" height=\"560\" fill=\"#fff\"/>",
      "<text x=\"60\" y=\"28\" font-size=\"16\" font-weight=\"bold\">"
        + "Bringing \(pages) pages to a device, writable</text>",
    ]
    for (index, sequence) in WalkSequence.allCases.enumerated() {
      let x = 60 + 150 * index
      lines.append(
        "<rect x=\"\(x)\" y=\"42\" width=\"14\" height=\"14\" fill=\"\(Self.colours[index])\"/>")
      lines.append("<text x=\"\(x + 20)\" y=\"54\">\(sequence.rawValue)</text>")
    }
    lines += panel("time, ns a page", top: 84) { $0.time.median }
    lines += panel("page-table entries looked at, a page", top: 334) {
      Double($0.entries) / Double(pages)
    }
    lines.append("</svg>")
    return lines.joined(separator: "\n") + "\n"
  }

  private static let colours = ["#7a8fa6", "#c8a24a", "#2f7d4f"]

  /// One chart, 180 high, whose title stands at `top`.
  private func panel(
    _ title: String, top: Int, _ value: (Row) -> Double
  ) -> [String] {
    let height = 160.0
    let bottom = Double(top) + 20 + height
    let (step, most) = Self.scale(rows.map(value).max() ?? 1)
    var lines = ["<text x=\"60\" y=\"\(top)\" font-weight=\"bold\">\(title)</text>"]
    var tick = 0.0
    while tick <= most * 1.0001 {
      let y = Self.text(bottom - tick / most * height)
      lines.append(
        "<line x1=\"60\" y1=\"\(y)\" x2=\"740\" y2=\"\(y)\" stroke=\"#ddd\" stroke-width=\"1\"/>")
      lines.append(
        "<text x=\"54\" y=\"\(y)\" dy=\"4\" text-anchor=\"end\">\(Self.text(tick))</text>")
      tick += step
    }
    for (group, content) in RangeContent.allCases.enumerated() {
      let left = 76 + 134 * group
      for (bar, sequence) in WalkSequence.allCases.enumerated() {
        guard let row = rows.first(where: { $0.content == content && $0.sequence == sequence })
        else { continue }
        let length = value(row) / most * height
        let x = left + 36 * bar
        lines.append(
          "<rect x=\"\(x)\" y=\"\(Self.text(bottom - length))\" width=\"32\" "
            + "height=\"\(Self.text(length))\" fill=\"\(Self.colours[bar])\"/>")
        lines.append(
          "<text x=\"\(x + 16)\" y=\"\(Self.text(bottom - length - 4))\" font-size=\"11\" "
            + "text-anchor=\"middle\">\(Self.short(value(row)))</text>")
      }
      lines.append(
        "<text x=\"\(left + 52)\" y=\"\(Self.text(bottom + 18))\" text-anchor=\"middle\">"
          + "\(content.rawValue)</text>")
    }
    lines.append(
      "<line x1=\"60\" y1=\"\(Self.text(bottom))\" x2=\"740\" y2=\"\(Self.text(bottom))\" "
        + "stroke=\"#222\"/>")
    return lines
  }

  /// A step of 1, 2 or 5 times a power of ten that divides the axis into six at most, and its end.
  private static func scale(_ largest: Double) -> (step: Double, most: Double) {
    var power = 1.0
    while power * 10 <= largest { power *= 10 }
    let step = [0.2, 0.5, 1, 2].map { $0 * power }.first { largest / $0 <= 6 } ?? power * 2
    return (step, max(step, (largest / step).rounded(.up) * step))
  }

  /// At most one digit behind the point.
  private static func text(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(abs(tenths) % 10)"
  }

  private static func short(_ value: Double) -> String {
    value >= 10 ? "\(Int(value.rounded()))" : text(value)
  }
}
