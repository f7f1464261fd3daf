/// The text of `lspci -xxxx` (or `-x`, `-xxx`): a line for each function, then its configuration
/// space in rows of 16 bytes. With `-v` the details between the two are used as well.
enum LspciHexDump {
  static func parse(_ bytes: [UInt8], file: String) throws(DiscoveryError) -> [PCIDeviceRecord] {
    let source = SourceText(bytes: bytes, file: file)
    try source.requireUTF8()
    var result: [PCIDeviceRecord] = []
    var open: Dump?
    for (number, line) in source.lines {
      let place = TextPlace(file: file, line: number, column: 1)
      if line.allSatisfy({ $0 == " " || $0 == "\t" }) || isDiagnostic(line) { continue }
      if let address = PCIAddress(line.prefix { $0 != " " }) {
        if let done = open { result.append(try done.record()) }
        open = Dump(address: address, place: place)
      } else if line.hasPrefix("\t") || line.hasPrefix(" ") {
        open?.note(detail: line)
      } else if let row = HexRow(line), open != nil {
        try open?.append(row, place)
      } else {
        throw DiscoveryError(
          place: place,
          "'\(line.prefix(40))' is neither a device's line nor a row of its configuration space",
          remedy: "pass what lspci -xxxx (or -vvxxxx) prints, unchanged")
      }
    }
    if let done = open { result.append(try done.record()) }
    return result
  }

  /// What lspci and its library print on standard error, which often lands in such files.
  private static func isDiagnostic(_ line: Substring) -> Bool {
    line.hasPrefix("lspci: ") || line.hasPrefix("pcilib: ")
  }
}

/// One function's part of the text, as far as it has been read.
private struct Dump {
  let address: PCIAddress
  let place: TextPlace
  var config: [UInt8] = []
  var driver: String?
  var iommuGroup: Int?
  var numaNode: Int?
  var sizes: [(index: Int, size: UInt64)] = []
  var romSize: UInt64?
  /// Whether `-v` was given.
  var hasDetails = false

  init(address: PCIAddress, place: TextPlace) {
    self.address = address
    self.place = place
  }

  mutating func append(_ row: HexRow, _ place: TextPlace) throws(DiscoveryError) {
    guard row.offset == config.count else {
      throw DiscoveryError(
        place: place,
        "row \(HexText.bare(row.offset, digits: 2)) of \(address) follows"
          + " \(config.count) bytes; row \(HexText.bare(config.count, digits: 2)) is missing",
        remedy: "pass the dump with all its rows")
    }
    guard row.bytes.count == 16, config.count + 16 <= PCIConfigSpace.extendedSize else {
      throw DiscoveryError(
        place: place,
        row.bytes.count == 16
          ? "the configuration space of \(address) has more than 4096 bytes"
          : "the row has \(row.bytes.count) bytes instead of 16",
        remedy: "pass the dump unchanged")
    }
    config += row.bytes
  }

  /// Takes from a line of `-v` what configuration space doesn't hold.
  mutating func note(detail line: Substring) {
    hasDetails = true
    let text = line.drop { $0 == "\t" || $0 == " " }
    if let rest = text.after("Kernel driver in use: ") {
      driver = String(rest)
    } else if let rest = text.after("NUMA node: ") {
      numaNode = Int(rest).flatMap { $0 < 0 ? nil : $0 }
    } else if let rest = text.after("IOMMU group: ") {
      iommuGroup = Int(rest)
    } else if let rest = text.after("Region "), let index = rest.first?.wholeNumberValue,
      let size = Self.size(in: rest)
    {
      sizes.append((index, size))
    } else if text.hasPrefix("Expansion ROM at "), let size = Self.size(in: text) {
      romSize = size
    }
  }

  /// The value of `[size=16M]`.
  private static func size(in text: Substring) -> UInt64? {
    guard let tag = text.split(separator: "[").last?.after("size="),
      let end = tag.firstIndex(of: "]")
    else { return nil }
    var number = tag[..<end]
    var shift: UInt64 = 0
    if let unit = number.last, let power = "KMGT".firstIndex(of: unit) {
      shift = 10 * UInt64("KMGT".distance(from: "KMGT".startIndex, to: power) + 1)
      number.removeLast()
    }
    guard let value = UInt64(number), value <= UInt64.max >> shift else { return nil }
    return value << shift
  }

  func record() throws(DiscoveryError) -> PCIDeviceRecord {
    let space = PCIConfigSpace(bytes: config)
    let sizes = [
      PCIConfigSpace.headerSize, PCIConfigSpace.conventionalSize, PCIConfigSpace.extendedSize,
    ]
    guard
      sizes.contains(config.count), let ids = space.read32(0), let classes = space.read32(8)
    else {
      throw DiscoveryError(
        place: place,
        config.isEmpty
          ? "\(address) has no configuration space in this text"
          : "the configuration space of \(address) is cut off after \(config.count) bytes",
        remedy: "pass what lspci -xxxx prints, as root for all of it")
    }
    var record = PCIDeviceRecord(
      address: address, vendor: UInt16(truncatingIfNeeded: ids), device: UInt16(ids >> 16),
      classCode: classes >> 8)
    record.revision = UInt8(truncatingIfNeeded: classes)
    record.config = config
    record.driver = driver
    record.iommuGroup = iommuGroup
    record.numaNode = numaNode
    fill(&record, from: space)
    return record
  }

  private func fill(_ record: inout PCIDeviceRecord, from space: PCIConfigSpace) {
    if ids(space) == 0xffff_ffff {
      record.unread.append(
        .init(
          field: "config", reason: "all ones: the function did not answer",
          remedy: "take the dump again while the device is powered"))
      return
    }
    if space.headerType == 0 {
      record.subsystemVendor = space.read16(0x2c)
      record.subsystem = space.read16(0x2e)
    }
    record.link = space.link
    record.regions = space.regions
    for (index, size) in sizes {
      guard let at = record.regions.firstIndex(where: { $0.index == index }) else { continue }
      record.regions[at].size = size
    }
    record.expansionROM = space.expansionROM
    record.expansionROM?.size = romSize
    if !hasDetails {
      record.unread.append(
        .init(
          field: "driver, IOMMU group, NUMA node", reason: "configuration space doesn't hold them",
          remedy: "run lspci -vvxxxx, or use --record"))
    }
    if config.count < PCIConfigSpace.conventionalSize {
      record.unread.append(
        .init(
          field: "config", reason: "the dump holds \(config.count) bytes",
          remedy: "run lspci -xxxx as root"))
    }
    if record.regions.contains(where: { $0.size == nil }) {
      record.unread.append(
        .init(
          field: "region sizes", reason: "configuration space doesn't hold them",
          remedy: "run lspci -vvxxxx, or use --record"))
    }
  }

  private func ids(_ space: PCIConfigSpace) -> UInt32? { space.read32(0) }
}

extension StringProtocol {
  /// What follows `prefix`; nil without it.
  fileprivate func after(_ prefix: String) -> SubSequence? {
    hasPrefix(prefix) ? dropFirst(prefix.count) : nil
  }
}
