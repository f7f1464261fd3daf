/// The text of `lspci -vmmnnD`: `Tag:<tab>value` lines, a blank line after each function.
enum LspciRecordList {
  /// A line's tag and value, and the column at which the value begins.
  struct Field {
    var tag: Substring
    var value: Substring
    var column: Int
  }

  /// Nil unless the line is a word, a colon and a tab.
  static func field(_ line: Substring) -> Field? {
    guard
      let colon = line.firstIndex(of: ":"), colon > line.startIndex,
      line[..<colon].allSatisfy({ $0.isASCII && $0.isLetter })
    else { return nil }
    let rest = line[line.index(after: colon)...]
    guard rest.first == "\t" else { return nil }
    let value = rest.drop { $0 == "\t" || $0 == " " }
    let column = line.utf8.distance(from: line.startIndex, to: value.startIndex) + 1
    return Field(tag: line[..<colon], value: value, column: column)
  }

  static func parse(_ bytes: [UInt8], file: String) throws(DiscoveryError) -> [PCIDeviceRecord] {
    let source = SourceText(bytes: bytes, file: file)
    try source.requireUTF8()
    var result: [PCIDeviceRecord] = []
    var open: Entry?
    for (number, line) in source.lines {
      if line.allSatisfy({ $0 == " " || $0 == "\t" }) {
        if let done = open { result.append(try done.record()) }
        open = nil
        continue
      }
      if line.hasPrefix("lspci: ") || line.hasPrefix("pcilib: ") { continue }
      guard let field = field(line) else {
        throw DiscoveryError(
          place: TextPlace(file: file, line: number, column: 1),
          "'\(line.prefix(40))' is not 'Tag:<tab>value'", remedy: Entry.remedy)
      }
      let place = TextPlace(file: file, line: number, column: field.column)
      if open == nil {
        open = try Entry(first: field, place)
      } else {
        try open?.take(field, place)
      }
    }
    if let done = open { result.append(try done.record()) }
    // Without any driver in the whole list it was most likely made without -k.
    if result.allSatisfy({ $0.driver == nil }) {
      for index in result.indices {
        result[index].unread.append(
          .init(field: "driver", reason: "the list names no driver", remedy: "run lspci -vmmnnDk"))
      }
    }
    return result
  }
}

/// One function's lines.
private struct Entry {
  static let remedy = "pass what lspci -vmmnnD prints, unchanged"

  let address: PCIAddress
  let place: TextPlace
  var vendor: UInt16?
  var device: UInt16?
  var subsystemVendor: UInt16?
  var subsystem: UInt16?
  var deviceClass: UInt16?
  // lspci leaves these two lines out when the value is 0.
  var revision: UInt8 = 0
  var interface: UInt8 = 0
  var names = PCIDeviceRecord.Names()
  var driver: String?
  var iommuGroup: Int?
  var numaNode: Int?

  init(first: LspciRecordList.Field, _ place: TextPlace) throws(DiscoveryError) {
    guard first.tag == "Slot" else {
      throw DiscoveryError(
        place: place, "a function begins with 'Slot:', not with '\(first.tag.prefix(20)):'",
        remedy: Self.remedy)
    }
    guard let address = PCIAddress(first.value) else {
      throw DiscoveryError(
        place: place, "'\(first.value.prefix(40))' is no PCI address", remedy: Self.remedy)
    }
    self.address = address
    self.place = place
  }

  mutating func take(_ field: LspciRecordList.Field, _ place: TextPlace) throws(DiscoveryError) {
    switch field.tag {
    case "Class": (names.deviceClass, deviceClass) = try named(field, place)
    case "Vendor": (names.vendor, vendor) = try named(field, place)
    case "Device": (names.device, device) = try named(field, place)
    case "SVendor": (names.subsystemVendor, subsystemVendor) = try named(field, place)
    case "SDevice": (names.subsystem, subsystem) = try named(field, place)
    case "Rev": revision = try byte(field, place)
    case "ProgIf": interface = try byte(field, place)
    case "Driver": driver = String(field.value)
    case "NUMANode": numaNode = try number(field, place).flatMap { $0 < 0 ? nil : $0 }
    case "IOMMUGroup": iommuGroup = try number(field, place)
    case "Slot":
      throw DiscoveryError(
        place: place, "a second 'Slot:' before the blank line that ends \(address)",
        remedy: Self.remedy)
    default: break  // Module, PhySlot, Label, DTNode: nothing that the report shows.
    }
  }

  /// `Name [1234]`, or `1234` alone, as `-n` prints it.
  private func named(
    _ field: LspciRecordList.Field, _ place: TextPlace
  ) throws(DiscoveryError) -> (String?, UInt16) {
    if let id = HexText.value(field.value, digits: 4...4) { return (nil, UInt16(id)) }
    guard
      field.value.hasSuffix("]"), let bracket = field.value.lastIndex(of: "["),
      let id = HexText.value(
        field.value[field.value.index(after: bracket)...].dropLast(), digits: 4...4)
    else {
      throw DiscoveryError(
        place: place, "'\(field.value.prefix(40))' has no numeric id in brackets",
        remedy: "run lspci with -nn: lspci -vmmnnD")
    }
    var name = field.value[..<bracket]
    while name.last == " " { name.removeLast() }
    // For an id without a name lspci prints the bare kind.
    let placeholders: [Substring] = ["", "Device", "Vendor", "Class", "Unknown vendor"]
    return (placeholders.contains(name) ? nil : String(name), UInt16(id))
  }

  private func byte(
    _ field: LspciRecordList.Field, _ place: TextPlace
  ) throws(DiscoveryError) -> UInt8 {
    guard let value = HexText.value(field.value.prefix { $0 != " " }, digits: 2...2) else {
      throw DiscoveryError(
        place: place, "'\(field.value.prefix(40))' is no hexadecimal byte", remedy: Self.remedy)
    }
    return UInt8(value)
  }

  private func number(
    _ field: LspciRecordList.Field, _ place: TextPlace
  ) throws(DiscoveryError) -> Int? {
    guard let value = Int(field.value) else {
      throw DiscoveryError(
        place: place, "'\(field.value.prefix(40))' is no number", remedy: Self.remedy)
    }
    return value
  }

  func record() throws(DiscoveryError) -> PCIDeviceRecord {
    guard let vendor, let device, let deviceClass else {
      let missing = vendor == nil ? "Vendor" : device == nil ? "Device" : "Class"
      throw DiscoveryError(
        place: place, "\(address) has no '\(missing):' line", remedy: Self.remedy)
    }
    var record = PCIDeviceRecord(
      address: address, vendor: vendor, device: device,
      classCode: UInt32(deviceClass) << 8 | UInt32(interface))
    record.revision = revision
    record.subsystemVendor = subsystemVendor
    record.subsystem = subsystem
    record.names = names
    record.driver = driver
    record.iommuGroup = iommuGroup
    record.numaNode = numaNode
    record.unread = [
      .init(
        field: "windows, ROM, link, configuration space",
        reason: "lspci -vmm doesn't print them", remedy: "run lspci -vvxxxx, or use --record")
    ]
    return record
  }
}
