import FoundationEssentials

/// The PCI id database (`pci.ids`): names of vendors, devices, subsystems and classes.
///
/// Looked up in the text itself; a damaged text yields fewer names, never an error.
public struct PCIIDDatabase: Sendable {
  private let bytes: [UInt8]
  /// Where each unindented line begins.
  private let heads: [Int]

  /// A database from the text of a `pci.ids` file.
  public init(_ bytes: [UInt8]) {
    self.bytes = bytes
    var heads: [Int] = []
    var start = 0
    while start < bytes.count {
      let first = bytes[start]
      if first != 0x09, first != UInt8(ascii: "#"), first != 0x0a { heads.append(start) }
      start = (bytes[start...].firstIndex(of: 0x0a) ?? bytes.count) + 1
    }
    self.heads = heads
  }

  /// Where distributions keep the database.
  public static let usualPaths = [
    "/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids",
  ]

  /// The machine's own database; nil when none of the usual places has one.
  public static func ofThisMachine(paths: [String] = usualPaths) -> PCIIDDatabase? {
    for path in paths {
      if let data = try? Data(contentsOf: URL(filePath: path)) {
        return PCIIDDatabase([UInt8](data))
      }
    }
    return nil
  }

  public func vendor(_ vendor: UInt16) -> String? {
    head(HexText.bare(vendor, digits: 4)).map(name)
  }

  public func device(_ vendor: UInt16, _ device: UInt16) -> String? {
    deviceLine(vendor, device).map(name)
  }

  public func subsystem(
    _ vendor: UInt16, _ device: UInt16, subsystemVendor: UInt16, subsystem: UInt16
  ) -> String? {
    let key = "\(HexText.bare(subsystemVendor, digits: 4)) \(HexText.bare(subsystem, digits: 4))"
    return deviceLine(vendor, device).flatMap { child(of: $0, tabs: 2, key: key) }.map(name)
  }

  /// The subclass's name, or the base class's where the subclass has none.
  public func deviceClass(_ code: UInt32) -> String? {
    guard let base = head("C " + HexText.bare(code >> 16 & 0xff, digits: 2)) else { return nil }
    return name(child(of: base, tabs: 1, key: HexText.bare(code >> 8 & 0xff, digits: 2)) ?? base)
  }

  /// All names that the database has for a record's ids.
  public func names(of record: PCIDeviceRecord) -> PCIDeviceRecord.Names {
    var names = PCIDeviceRecord.Names(
      vendor: vendor(record.vendor), device: device(record.vendor, record.device),
      deviceClass: deviceClass(record.classCode))
    if let subsystemVendor = record.subsystemVendor, let subsystem = record.subsystem,
      subsystemVendor != 0
    {
      names.subsystemVendor = vendor(subsystemVendor)
      names.subsystem = self.subsystem(
        record.vendor, record.device, subsystemVendor: subsystemVendor, subsystem: subsystem)
    }
    return names
  }

  /// A line as the range of its text: what follows its indent.
  private typealias Line = Range<Int>

  private func deviceLine(_ vendor: UInt16, _ device: UInt16) -> Line? {
    head(HexText.bare(vendor, digits: 4))
      .flatMap { child(of: $0, tabs: 1, key: HexText.bare(device, digits: 4)) }
  }

  private func head(_ key: String) -> Line? {
    for start in heads where isKeyed(start, key) { return line(start) }
    return nil
  }

  /// The first line below `parent` with `tabs` tabs and this key, before one with fewer tabs.
  private func child(of parent: Line, tabs: Int, key: String) -> Line? {
    var start = parent.upperBound + 1
    while start < bytes.count {
      let whole = line(start)
      let indent = bytes[whole].prefix { $0 == 0x09 }.count
      let content = start + indent
      if indent < tabs, content < whole.upperBound, bytes[content] != UInt8(ascii: "#") {
        return nil
      }
      if indent == tabs, isKeyed(content, key) { return content..<whole.upperBound }
      start = whole.upperBound + 1
    }
    return nil
  }

  private func line(_ start: Int) -> Line {
    start..<(bytes[start...].firstIndex(of: 0x0a) ?? bytes.count)
  }

  /// Whether the text at `start` is `key` and two blanks.
  private func isKeyed(_ start: Int, _ key: String) -> Bool {
    bytes[start...].starts(with: key.utf8)
      && bytes[(start + key.utf8.count)...].starts(with: [0x20, 0x20])
  }

  private func name(_ line: Line) -> String {
    // The key and the name are parted by two blanks; a subsystem's key holds a single one.
    var at = line.lowerBound
    while at + 1 < line.upperBound, !(bytes[at] == 0x20 && bytes[at + 1] == 0x20) { at += 1 }
    let text = bytes[min(at + 2, line.upperBound)..<line.upperBound]
    return String(decoding: text, as: UTF8.self)
  }
}
