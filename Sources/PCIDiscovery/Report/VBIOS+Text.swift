extension ROMReport {
  /// The report in lines.
  public var lines: [String] {
    switch self {
    case .parsed(let bios): bios.lines
    case .broken(let error): ["no VBIOS: \(error)"]
    case .unread(let error): ["not read: \(error)"]
    }
  }

  /// The report as text of its own, for `--rom FILE`.
  public func text(file: String) -> String {
    var table = FieldTable()
    table.add("VBIOS", lines)
    return "\(file)\n\(table.text)"
  }
}

extension VBIOS {
  /// What the BIOS holds, line by line.
  public var lines: [String] {
    var lines = ["\(byteCount) bytes, version \(version ?? "unknown")"]
    if let wrapper {
      lines.append(
        "wrapper NVGI version \(wrapper.version), first image at"
          + " \(HexText.prefixed(wrapper.romOffset, digits: 5))")
    }
    for (index, image) in images.enumerated() { lines.append("image \(index): \(image.text)") }
    if let bit {
      let sum = bit.isHeaderGood ? "header sum good" : "header sum bad"
      lines.append(
        "BIT at \(HexText.prefixed(bit.offset, digits: 5)), version"
          + " \(HexText.prefixed(bit.version, digits: 4)), \(bit.tokens.count) tokens, \(sum)")
      lines += bit.tokens.map { "  \($0.text)" }
    }
    lines += labels.map { "\($0.name): \($0.text)" }
    if let dcb {
      lines.append(
        "DCB at \(HexText.prefixed(dcb.offset, digits: 5)), version"
          + " \(HexText.prefixed(dcb.version, digits: 2)), \(dcb.entries) entries"
          + (dcb.isSigned ? "" : ", signature missing"))
    }
    lines += devinit.lines
    lines.append("nouveau's score \(nouveauScore)")
    lines += findings.map { "finding at \($0)" }
    return lines
  }
}

extension VBIOSImage {
  fileprivate var text: String {
    let sum: String
    switch checksum {
    case nil: sum = "cut off after \(available) bytes"
    case 0: sum = "checksum good"
    case .some(let value):
      // Only legacy images have to add up to 0.
      sum = kind == .legacy ? "checksum bad (\(HexText.prefixed(value, digits: 2)))" : "no checksum"
    }
    return "\(kind) at \(HexText.prefixed(offset, digits: 5)), \(length) bytes,"
      + " ids \(HexText.bare(vendor, digits: 4)):\(HexText.bare(device, digits: 4)), \(sum)"
      + (npde == nil ? "" : ", NPDE") + (isLast ? ", last" : "")
  }
}

extension BITTable.Token {
  fileprivate var text: String {
    let letter = UnicodeScalar(id).escaped(asASCII: true)
    let place: String
    if let offset {
      place = "\(length) bytes at \(HexText.prefixed(offset, digits: 5))"
    } else {
      place = pointer == 0 ? "no data" : "\(length) bytes that are not in the file"
    }
    return "'\(letter)' version \(version), \(place)" + (meaning.map { ": \($0)" } ?? "")
  }
}

extension VBIOSDevinit {
  fileprivate var lines: [String] {
    var lines: [String] = []
    func piece(_ name: String, _ piece: Piece?) {
      guard let piece else { return }
      lines.append("\(name): \(piece.size) bytes at \(HexText.prefixed(piece.offset, digits: 5))")
    }
    piece("devinit tables", tables)
    piece("devinit boot script", bootScript)
    for program in programs {
      lines.append(
        "PMU program \(program.name ?? "type") \(HexText.prefixed(program.type, digits: 2)) at"
          + " \(HexText.prefixed(program.offset, digits: 5)): boot \(program.boot.size), code"
          + " \(program.code.size), data \(program.data.size) bytes")
    }
    lines.append(
      missing.isEmpty
        ? "devinit: everything that a driver would need is there"
        : "devinit: missing \(missing.joined(separator: "; "))")
    return lines
  }
}
