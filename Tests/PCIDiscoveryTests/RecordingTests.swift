import PCIDiscovery
import Testing

@Test(arguments: Recordings.names)
func shippedRecording_isWrittenAsTheProgramWritesIt(_ name: String) throws {
  let text = try Recordings.load(name).text()
  #expect(text == String(decoding: try Recordings.bytes(name), as: UTF8.self), "\(name).json")
}

@Test func recording_keepsEveryField() throws {
  var record = PCIDeviceRecord(
    address: try #require(PCIAddress("10000:e1:1f.7")), vendor: 0x10de, device: 0x15f8,
    classCode: 0x030200)
  record.subsystemVendor = 0x1028
  record.subsystem = 0xffff
  record.revision = 0xa1
  record.names = .init(
    vendor: "V \"quoted\" \u{e9}", device: "D\\", subsystemVendor: "SV", subsystem: "S",
    deviceClass: "C")
  record.regions = [
    PCIRegion(
      index: 1, space: .memory, address: UInt64.max, size: 1 << 40, isPrefetchable: true,
      is64Bit: true),
    PCIRegion(index: 5, space: .io, address: nil, size: nil, isPrefetchable: false, is64Bit: false),
  ]
  record.expansionROM = PCIExpansionROM(address: nil, size: 0x80000)
  record.driver = "nouveau"
  record.iommuGroup = 0
  record.numaNode = 3
  record.link = PCILink(current: nil, maximum: .init(speed: .gt64, width: 32))
  record.config = (0..<256).map { UInt8($0) }
  record.registers = [.init(bar: 0, offset: 0x88000, value: 0xffff_ffff)]
  record.unread = [.init(field: "f", reason: "r", remedy: "m")]
  let recording = PCIRecording(note: "n", devices: [record])
  let back = try PCIRecording.parse(Array(try recording.text().utf8), file: "x")
  #expect(back == recording)
}

/// A recording with one line of P100's replaced.
private func damaged(_ old: String, _ new: String) throws -> [UInt8] {
  let text = String(decoding: try Recordings.bytes("p100-pcie-16gb"), as: UTF8.self)
  #expect(text.contains(old), "the recording has no \(old)")
  return Array(text.replacing(old, with: new, maxReplacements: 1).utf8)
}

@Test(arguments: [
  ("\"0x15f8\"", "\"15f8\"", "x.json:18:18: '15f8' is no hexadecimal number of 16 bits"),
  ("\"0x15f8\"", "5624", "x.json:18:18: a value of another type"),
  ("\"0x15f8\"", "\"0x15f8", "x.json:18:26: a control character in a string"),
  ("\"index\" : 1", "\"index\" : 6", "the window's index is 6, not in 0...5"),
  ("8.0 GT/s", "9.0 GT/s", "'9.0 GT/s' is no link speed"),
  ("0000:3b:00.0", "0000:3b:0.0", "x.json:4:19: '0000:3b:0.0' is no PCI address"),
  ("\"version\" : 1", "\"version\" : 2", "version 2 of the form"),
  ("nouveau-devices", "other", "the format is 'other'"),
  ("\"bytes\" : 256", "\"bytes\" : 64", "row 5: the row leaves the 64 bytes"),
  ("\"bytes\" : 256", "\"bytes\" : 100", "bytes is 100"),
  ("10: 00 00 00 92", "10: 00 0 00 92", "row 2: '10: 00 0 00 92"),
  ("\"devices\" : [", "\"devices\" : {", "x.json:3:5: expected a member's name in quotes"),
  ("\"driver\"", "\"device\"", "the member \"device\" stands twice"),
])
func recording_saysWhatIsWrongAndWhere(_ old: String, _ new: String, _ expected: String) throws {
  let bytes = try damaged(old, new)
  let said = message { _ = try PCIRecording.parse(bytes, file: "x.json") }
  #expect(said.contains(expected), "\(said)")
  #expect(said.hasPrefix("x.json:"), "no place: \(said)")
  #expect(said.contains("; "), "no remedy: \(said)")
}

@Test func recording_refusesDeepNestingAndBadText() {
  let deep = [UInt8](repeating: UInt8(ascii: "["), count: 100_000)
  #expect(message { _ = try PCIRecording.parse(deep, file: "x") }.contains("levels of nesting"))
  let cut = Array("{\"note\": \"a".utf8)
  #expect(message { _ = try PCIRecording.parse(cut, file: "x") }.contains("x:1:10: the string has"))
  let bad = Array("{\"note\":\n\"a".utf8) + [0xff] + Array("\"}".utf8)
  #expect(
    message { _ = try PCIRecording.parse(bad, file: "x") }.hasPrefix("x:2:3: the text is not"))
  #expect(message { _ = try DeviceText.parse([], file: "x") }.hasPrefix("x:1:1: the file is empty"))
}
