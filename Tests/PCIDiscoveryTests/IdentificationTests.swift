import DeviceSeam
import PCIDiscovery
import Testing

@Test func chipTable_hasNoOverlaps() {
  let sorted = ChipFamily.table.sorted { $0.ids.lowerBound < $1.ids.lowerBound }
  for (a, b) in zip(sorted, sorted.dropFirst()) {
    #expect(a.ids.upperBound < b.ids.lowerBound, "\(a.chip) and \(b.chip) overlap")
  }
}

@Test func chipTable_givesOneNumberToOneChip() {
  for a in ChipFamily.table {
    for b in ChipFamily.table where a.chipset != nil && a.chipset == b.chipset {
      #expect(a.chip == b.chip)
    }
  }
}

// SOURCE: the boards and chips of section 1.1 of the device facts, from NVIDIA's manuals.
@Test(
  arguments: [
    (0x15f7, "GP100"), (0x15f8, "GP100"), (0x15f9, "GP100"), (0x1d81, "GV100"), (0x1db1, "GV100"),
    (0x1db6, "GV100"), (0x1dba, "GV100"), (0x1e02, "TU102"), (0x1e30, "TU102"), (0x1e82, "TU104"),
    (0x1eb8, "TU104"), (0x1ed0, "TU104"), (0x1f02, "TU106"), (0x2182, "TU116"), (0x1f80, "TU117"),
    (0x1b80, "GP104"), (0x20b0, "GA100"), (0x2330, "GH100"), (0x2684, "AD102"), (0x06d1, "GF100"),
  ] as [(UInt16, String)])
func chipTable_knowsTheBoard(_ device: UInt16, _ chip: String) {
  #expect(ChipFamily.of(device: device)?.chip == chip)
}

@Test(arguments: [
  ("p100-pcie-16gb", BoardVerdict.Kind.modelled), ("v100-pcie-16gb", .known), ("t4", .known),
  ("titan-v", .known), ("rtx-2080", .known),
])
func verdict_ofShippedRecordings(_ name: String, _ kind: BoardVerdict.Kind) throws {
  let board = try #require(try Recordings.load(name).devices.first(where: \.isNVIDIADisplay))
  let verdict = BoardVerdict(of: board)
  #expect(verdict.kind == kind)
  #expect((verdict.profile == "GP100") == (kind == .modelled))
}

@Test func verdict_followsTheProfilesThatExist() throws {
  let board = try #require(try Recordings.load("t4").devices.first)
  let profiles = [ModelledProfile(name: "Turing", chip: "TU104")]
  #expect(BoardVerdict(of: board, profiles: profiles).profile == "Turing")
  #expect(BoardVerdict(of: board, profiles: []).kind == .known)
}

@Test func verdict_onWhatIsNoKnownGPU() throws {
  let audio = try Recordings.load("rtx-2080").devices[1]
  #expect(BoardVerdict(of: audio).kind == .notAGPU)
  var board = try #require(try Recordings.load("t4").devices.first)
  board.device = 0xfffe
  #expect(BoardVerdict(of: board).kind == .unknown)
  board.vendor = 0x12d2
  #expect(BoardVerdict(of: board).kind == .unknown)
  board.vendor = 0x1002
  #expect(BoardVerdict(of: board).kind == .notAGPU)
}

@Test(
  arguments: [
    (0xffff_ffff, BootZero.fallenOffBus), (0, .noAccess), (0xbad0_ac01, .refused(0xbad0_ac01)),
    (0xbad0_0100, .refused(0xbad0_0100)), (0x1300_00a1, .chip(chipset: 0x130, revision: 0xa1)),
    (0x1400_00a1, .chip(chipset: 0x140, revision: 0xa1)),
    (0x1640_00a1, .chip(chipset: 0x164, revision: 0xa1)),
    (0x0c00_00a3, .chip(chipset: 0x0c0, revision: 0xa3)), (0x2000_4000, .unrecognised(0x2000_4000)),
    (0x0000_0001, .unrecognised(1)),
  ] as [(UInt32, BootZero)])
func bootZero_decodes(_ value: UInt32, _ expected: BootZero) {
  #expect(BootZero(value) == expected)
}

@Test func bootZero_namesTheChip() {
  #expect(BootZero(0x1300_00a1).description == "GP100 (Pascal), chipset 0x130, revision A1")
  #expect(BootZero(0xffff_ffff).description.contains("fallen off the bus"))
  #expect(BootZero(0xbad0_0000).description.contains("no access"))
  #expect(BootZero(0x1ff0_00a1).description.contains("a chip that no table has"))
}

private func emulated(_ name: String, bootZero: UInt32) throws -> EmulatedDeviceAccess {
  let board = try #require(try Recordings.load(name).devices.first)
  return EmulatedDeviceAccess(record: board) {
    (bar: Int, offset: UInt64) throws(DiscoveryError) -> UInt32 in
    guard bar == 0, offset == 0 else { throw DiscoveryError("bad read", remedy: "none") }
    return bootZero
  }
}

@Test func identification_letsOnlyAModelledEmulatedDeviceGoOn() throws {
  let good = Identification(of: try emulated("p100-pcie-16gb", bootZero: 0x1300_00a1))
  #expect(good.stop == nil && good.conflict == nil && good.side == .emulated)
  let lost = Identification(of: try emulated("p100-pcie-16gb", bootZero: 0xffff_ffff))
  #expect(lost.stop?.contains("did not identify itself") == true)
  let other = Identification(of: try emulated("t4", bootZero: 0x1640_00a1))
  #expect(other.stop?.contains("no profile models") == true)
  let swapped = Identification(of: try emulated("p100-pcie-16gb", bootZero: 0x1400_00a1))
  #expect(swapped.conflict == "the device id says GP100, PMC_BOOT_0 says GV100")
}

@Test func identification_ofARecordingReadsAndStops() throws {
  let board = try #require(try Recordings.load("v100-pcie-16gb").devices.first)
  let found = Identification(of: RecordedDeviceAccess(record: board))
  #expect(found.outcome == .read(0x1400_00a1, .chip(chipset: 0x140, revision: 0xa1)))
  #expect(found.stop?.contains("a recording can be read, not driven") == true)
  var bare = board
  bare.registers = []
  guard case .refused(let error) = Identification(of: RecordedDeviceAccess(record: bare)).outcome
  else {
    Issue.record("a recording without registers answered")
    return
  }
  #expect(error.remedy.contains("--probe --record"))
}

@Test func realDevice_isRefusedWhileItDoesNotDecodeMemory() throws {
  var board = try #require(try Recordings.load("t4").devices.first)
  board.config[4] = 0
  let said = message {
    _ = try RealDeviceAccess(record: board).readRegisters(bar: 0, offset: 0, count: 1)
  }
  #expect(said.contains("doesn't decode memory"), "\(said)")
  let found = Identification(of: RealDeviceAccess(record: board))
  #expect(found.stop?.contains("does not drive real boards") == true)
}

@Test func idDatabase_findsNamesInItsText() {
  let text = """
    # comment
    10de  NVIDIA Corporation
    \t15f8  GP100GL [Tesla P100 PCIe 16GB]
    \t\t10de 118f  A board
    \t1db4  GV100GL
    8086  Intel Corporation
    \t15f8  Not this one
    C 03  Display controller
    \t00  VGA compatible controller
    \t02  3D controller
    C 04  Multimedia controller
    """
  let database = PCIIDDatabase(Array(text.utf8))
  #expect(database.vendor(0x10de) == "NVIDIA Corporation")
  #expect(database.device(0x10de, 0x15f8) == "GP100GL [Tesla P100 PCIe 16GB]")
  #expect(database.device(0x10de, 0x9999) == nil)
  #expect(
    database.subsystem(0x10de, 0x15f8, subsystemVendor: 0x10de, subsystem: 0x118f) == "A board")
  #expect(
    database.subsystem(0x10de, 0x1db4, subsystemVendor: 0x10de, subsystem: 0x118f) == nil)
  #expect(database.deviceClass(0x030200) == "3D controller")
  #expect(database.deviceClass(0x038000) == "Display controller")
  #expect(database.deviceClass(0x040300) == "Multimedia controller")
  #expect(database.deviceClass(0xff0000) == nil)
  #expect(PCIIDDatabase([]).vendor(0x10de) == nil)
}
