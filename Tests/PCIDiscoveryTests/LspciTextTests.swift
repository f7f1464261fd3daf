import PCIDiscovery
import Testing

private func parse(_ text: String) throws -> DeviceText.Content {
  try DeviceText.parse(Array(text.utf8), file: "dump")
}

private let list = """
  Slot:\t0000:3b:00.0
  Class:\t3D controller [0302]
  Vendor:\tNVIDIA Corporation [10de]
  Device:\tGP100GL [Tesla P100 PCIe 16GB] [15f8]
  SVendor:\tNVIDIA Corporation [10de]
  SDevice:\tDevice [118f]
  PhySlot:\t2
  Rev:\ta1
  Driver:\tnouveau
  Module:\tnouveau
  NUMANode:\t0
  IOMMUGroup:\t12

  Slot:\t0000:00:00.0
  Class:\tHost bridge [0600]
  Vendor:\tIntel Corporation [8086]
  Device:\tDevice [0d57]
  ProgIf:\t00

  """

@Test func recordList_givesEveryField() throws {
  let content = try parse(list)
  #expect(content.kind == .recordList)
  #expect(content.devices.map(\.address.description) == ["0000:00:00.0", "0000:3b:00.0"])
  let board = content.devices[1]
  #expect(board.vendor == 0x10de && board.device == 0x15f8 && board.classCode == 0x030200)
  #expect(board.revision == 0xa1)
  #expect(board.subsystemVendor == 0x10de && board.subsystem == 0x118f)
  #expect(board.names.device == "GP100GL [Tesla P100 PCIe 16GB]")
  #expect(board.names.subsystem == nil)
  #expect(board.driver == "nouveau" && board.iommuGroup == 12 && board.numaNode == 0)
  #expect(content.devices[0].revision == 0)
  #expect(content.devices[0].names.device == nil)
}

@Test func recordList_withoutDriversDoesNotSayThatThereIsNone() throws {
  let content = try parse(list.replacing("Driver:\tnouveau\n", with: ""))
  #expect(content.devices.allSatisfy { DeviceReport(record: $0).text.contains("  unknown\n") })
  #expect(try DeviceReport(record: parse(list).devices[0]).text.contains("driver    none\n"))
}

@Test func recordList_takesCRLFAndDiagnostics() throws {
  let crlf = "lspci: Unable to load\n" + list
  let windows = crlf.utf8.flatMap { $0 == 0x0a ? [0x0d, 0x0a] : [$0] }
  // The first line decides the kind, so the diagnostic alone doesn't make this a hex dump.
  let content = try DeviceText.parse(Array(windows.drop { $0 != 0x0a }), file: "dump")
  #expect(content.devices.count == 2)
}

@Test(arguments: [
  ("Vendor:\tNVIDIA Corporation [10de]", "Vendor:\tNVIDIA", "dump:3:9: 'NVIDIA' has no numeric id"),
  ("Slot:\t0000:3b:00.0", "Slot:\tnone", "dump:1:7: 'none' is no PCI address"),
  ("Rev:\ta1", "Rev:\tzz", "dump:8:6: 'zz' is no hexadecimal byte"),
  ("Rev:\ta1", "garbage", "dump:8:1: 'garbage' is not 'Tag:<tab>value'"),
  ("Device:\tDevice [0d57]\n", "", "dump:14:7: 0000:00:00.0 has no 'Device:' line"),
  ("Module:\tnouveau\n", "Slot:\t0000:3c:00.0\n", "dump:10:7: a second 'Slot:'"),
  ("NUMANode:\t0", "NUMANode:\tx", "dump:11:11: 'x' is no number"),
  ("0000:00:00.0", "0000:3b:00.0", "dump:1:1: 0000:3b:00.0 stands twice"),
])
func recordList_saysWhatIsWrongAndWhere(_ old: String, _ new: String, _ expected: String) {
  let said = message { _ = try parse(list.replacing(old, with: new)) }
  #expect(said.hasPrefix(expected), "\(said)")
}

/// What lspci -vvxxxx would print for a record, as far as this program reads it.
private func dump(_ record: PCIDeviceRecord, verbose: Bool) -> String {
  var text = "\(record.address) \(record.names.deviceClass ?? "x"): name (rev a1)\n"
  if verbose {
    for region in record.regions {
      let size = (region.size ?? 0) >> 10
      text += "\tRegion \(region.index): Memory at 0 (32-bit) [size=\(size)K]\n"
    }
    text += "\tExpansion ROM at f7000000 [disabled] [size=512K]\n"
    if let node = record.numaNode { text += "\tNUMA node: \(node)\n" }
    if let group = record.iommuGroup { text += "\tIOMMU group: \(group)\n" }
    if let driver = record.driver { text += "\tKernel driver in use: \(driver)\n" }
  }
  for start in stride(from: 0, to: record.config.count, by: 16) {
    let row = record.config[start..<start + 16].map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    text += (start < 16 ? "0" : "") + String(start, radix: 16) + ": "
    text += row.joined(separator: " ") + "\n"
  }
  return text + "\n"
}

@Test func hexDump_givesWhatConfigurationSpaceHolds() throws {
  for original in try Recordings.boards() {
    var expected = original
    expected.names = .init()
    expected.registers = []
    if original.expansionROM != nil { expected.expansionROM?.size = 512 << 10 }
    // Windows below 1 KiB would print another unit.
    for index in expected.regions.indices where (expected.regions[index].size ?? 0) < 1024 {
      expected.regions[index].size = 0
    }
    let content = try parse(dump(original, verbose: true))
    #expect(content.kind == .hexDump)
    expectEqual(try difference(content.devices, [expected]))
  }
}

@Test func hexDump_saysWhatItCannotHold() throws {
  let board = try #require(try Recordings.load("t4").devices.first)
  let found = try #require(try parse(dump(board, verbose: false)).devices.first)
  #expect(found.regions.allSatisfy { $0.size == nil })
  #expect(
    found.unread.map(\.field) == ["driver, IOMMU group, NUMA node", "region sizes"])
  #expect(DeviceReport(record: found).text.contains("driver         unknown\n"))
  var short = board
  short.config = Array(board.config.prefix(64))
  let header = try #require(try parse(dump(short, verbose: false)).devices.first)
  #expect(
    header.unread.map(\.field) == ["driver, IOMMU group, NUMA node", "config", "region sizes"])
  #expect(header.link == nil)
}

@Test(arguments: [
  ("40: ", "50: ", "row 50 of 0000:d8:00.0 follows 64 bytes"),
  ("00: de 10", "00: de", "the row has 15 bytes"),
  ("00: de 10", "0z: de 10", "is neither a device's line nor a row"),
  ("f0: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n", "", "is cut off after 240 bytes"),
])
func hexDump_saysWhatIsWrongAndWhere(_ old: String, _ new: String, _ expected: String) throws {
  let text = dump(try #require(try Recordings.load("t4").devices.first), verbose: false)
  let broken = text.replacing("\n" + old, with: "\n" + new)
  #expect(broken != text)
  let said = message { _ = try parse(broken) }
  #expect(said.hasPrefix("dump:") && said.contains(expected), "\(said)")
}

@Test func hexDump_withoutRowsIsExplained() {
  let said = message { _ = try parse("00:00.0 Host bridge: Intel\n00:01.0 VGA: NVIDIA\n") }
  #expect(said.contains("dump:1:1: 0000:00:00.0 has no configuration space"), "\(said)")
  #expect(said.contains("lspci -xxxx"))
}
