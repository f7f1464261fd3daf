extension DevicesReport {
  /// The report as text for people: a paragraph for each device, notes at the end.
  public var text: String {
    var parts = devices.map(\.text)
    if devices.isEmpty {
      parts.append(
        total == 0
          ? "no PCI device in \(origin)\n"
          : "no NVIDIA display or 3D controller among the \(total) PCI devices of \(origin);"
            + " --all lists them\n")
    }
    if !notes.isEmpty { parts.append(notes.map { "note: \($0.printable)\n" }.joined()) }
    return parts.joined(separator: "\n")
  }
}

extension DeviceReport {
  /// The device's paragraph, with a newline at its end.
  public var text: String {
    var table = FieldTable()
    addIdentity(to: &table)
    addResources(to: &table)
    addProbe(to: &table)
    if let rom { table.add("VBIOS", rom.lines) }
    for item in record.unread {
      table.add("not read", "\(item.field): \(item.reason); \(item.remedy)")
    }
    let names = record.names
    let title = [
      record.address.description, names.deviceClass,
      names.vendor ?? "vendor \(HexText.bare(record.vendor, digits: 4))",
      names.device ?? "device \(HexText.bare(record.device, digits: 4))",
    ]
    return title.compactMap { $0 }.joined(separator: "  ").printable + "\n" + table.text
  }

  private func addIdentity(to table: inout FieldTable) {
    table.add("ids", Self.pair(record.vendor, record.device))
    if let vendor = record.subsystemVendor, let subsystem = record.subsystem, vendor != 0 {
      let name = [record.names.subsystemVendor, record.names.subsystem].compactMap { $0 }
      table.add("subsystem", ([Self.pair(vendor, subsystem)] + name).joined(separator: "  "))
    }
    table.add("class", HexText.bare(record.classCode, digits: 6))
    table.add("revision", record.revision.map { HexText.bare($0, digits: 2) } ?? "unknown")
    if let family = verdict.family {
      table.add("chip", "\(family.chip) (\(family.architecture))")
    }
    table.add("verdict", "\(verdict.kind.label): \(verdict.reason)")
  }

  private static func pair(_ vendor: UInt16, _ device: UInt16) -> String {
    "\(HexText.bare(vendor, digits: 4)):\(HexText.bare(device, digits: 4))"
  }

  private func addResources(to table: inout FieldTable) {
    for region in record.regions { table.add("BAR\(region.index)", region.text) }
    if let rom = record.expansionROM {
      table.add("expansion ROM", PCIRegion.text(size: rom.size, address: rom.address))
    }
    let isDriverKnown = !record.unread.contains { $0.field.hasPrefix("driver") }
    table.add("driver", record.driver ?? (isDriverKnown ? "none" : "unknown"))
    if let group = record.iommuGroup { table.add("IOMMU group", "\(group)") }
    if let node = record.numaNode { table.add("NUMA node", "\(node)") }
    if let link = record.link {
      let maximum = link.maximum.map { " (maximum \($0))" } ?? ""
      table.add("link", (link.current?.description ?? "down") + maximum)
    }
  }

  private func addProbe(to table: inout FieldTable) {
    guard let identification else { return }
    switch identification.outcome {
    case .read(let value, let chip):
      table.add("PMC_BOOT_0", "\(HexText.prefixed(value, digits: 8)): \(chip)")
    case .refused(let error):
      table.add("PMC_BOOT_0", "not read: \(error)")
    }
    if let conflict = identification.conflict { table.add("conflict", conflict) }
    if let stop = identification.stop { table.add("probe", stop) }
  }
}

extension BoardVerdict.Kind {
  /// The kind in words.
  public var label: String {
    switch self {
    case .modelled: "modelled"
    case .known: "known but not modelled"
    case .unknown: "unknown"
    case .notAGPU: "no GPU"
    }
  }
}

extension PCIRegion {
  fileprivate var text: String {
    var kind = space == .io ? "I/O ports" : "memory"
    if space == .memory {
      kind += is64Bit ? ", 64-bit" : ", 32-bit"
      kind += isPrefetchable ? ", prefetchable" : ", not prefetchable"
    }
    return "\(Self.text(size: size, address: address)), \(kind)"
  }

  fileprivate static func text(size: UInt64?, address: UInt64?) -> String {
    let length = size.map { HexText.size($0) } ?? "unknown size"
    return length
      + (address.map { " at \(HexText.prefixed($0, digits: 8))" } ?? ", no address known")
  }
}

/// Lines of a label and a text, in two columns.
struct FieldTable {
  private var rows: [(label: String, text: String)] = []

  mutating func add(_ label: String, _ text: String) { rows.append((label, text)) }

  /// Adds several lines under one label.
  mutating func add(_ label: String, _ lines: [String]) {
    for (index, line) in lines.enumerated() { rows.append((index == 0 ? label : "", line)) }
  }

  /// The lines, indented by four, the texts in one column.
  var text: String {
    let width = rows.map(\.label.count).max() ?? 0
    return rows.map { row in
      let gap = String(repeating: " ", count: width - row.label.count + 2)
      return "    \(row.label)\(gap)\(row.text.printable)\n"
    }.joined()
  }
}

extension String {
  /// The text with a dot for each control character, so that none from outside reaches a terminal.
  fileprivate var printable: String {
    let clean = unicodeScalars.map { $0.properties.generalCategory == .control ? "." : $0 }
    return String(String.UnicodeScalarView(clean))
  }
}
