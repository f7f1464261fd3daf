import PCIDiscovery
import Testing

@Test func configSpace_agreesWithTheRecordingsFields() throws {
  for record in try Recordings.boards() {
    let space = record.configSpace
    #expect(space.read16(0) == record.vendor)
    #expect(space.read16(2) == record.device)
    #expect(space.read32(8).map { $0 >> 8 } == record.classCode)
    #expect(space.read16(0x2e) == record.subsystem)
    #expect(space.link == record.link, "\(record.address)")
    #expect(space.expansionROM?.address == record.expansionROM?.address)
    var expected = record.regions
    for index in expected.indices { expected[index].size = nil }
    #expect(space.regions == expected, "\(record.address)")
  }
}

@Test func configSpace_neverInventsBytes() {
  let empty = PCIConfigSpace(bytes: [])
  #expect(empty.read8(0) == nil)
  #expect(empty.decodesMemory == nil)
  #expect(empty.regions.isEmpty)
  #expect(PCIConfigSpace(bytes: [1, 2, 3]).read32(0) == nil)
  #expect(PCIConfigSpace(bytes: [1, 2]).read8(-1) == nil)
}

@Test func configSpace_endsOnALoopOfCapabilities() {
  var bytes = [UInt8](repeating: 0, count: 256)
  bytes[0x06] = 0x10
  bytes[0x34] = 0x40
  bytes[0x40] = 0x09
  bytes[0x41] = 0x40
  #expect(PCIConfigSpace(bytes: bytes).capability(0x10) == nil)
  bytes[0x41] = 0xfe
  #expect(PCIConfigSpace(bytes: bytes).capability(0x10) == nil)
  #expect(PCIConfigSpace(bytes: Array(bytes.prefix(64))).capability(0x09) == nil)
}

@Test func configSpace_doesNotReadBridgeRegistersAsWindows() {
  var bytes = [UInt8](repeating: 0xff, count: 64)
  bytes[0x0e] = 1
  for index in 0x10..<0x18 { bytes[index] = 0 }
  #expect(PCIConfigSpace(bytes: bytes).regions.isEmpty)
  bytes[0x0e] = 2
  #expect(PCIConfigSpace(bytes: bytes).regions.isEmpty)
}

@Test func configSpace_takesNoReservedLinkWidth() throws {
  var record = try #require(try Recordings.load("t4").devices.first)
  #expect(record.configSpace.link?.current?.width == 8)
  // LNKSTA is at 0x8a; its bits 9:4 are the width.
  record.config.put16(3 | 48 << 4, at: 0x8a)
  #expect(record.configSpace.link?.current == nil)
}
