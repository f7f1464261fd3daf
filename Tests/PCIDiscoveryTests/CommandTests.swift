import Foundation
import PCIDiscovery
import Testing

private func world(_ names: String...) throws -> FakeWorld {
  let world = FakeWorld()
  for name in names { world.devices += try Recordings.load(name).devices }
  return world
}

@Test func command_answersWhenThereIsNoDevice() throws {
  #expect(try FakeWorld().run().hasPrefix("no PCI device in this machine"))
  let other = try world("rtx-2080")
  other.devices.removeFirst()
  #expect(
    try other.run().hasPrefix(
      "no NVIDIA display or 3D controller among the 3 PCI devices of this machine; --all"))
}

@Test func command_listsGPUsOrEverything() throws {
  let machine = try world("rtx-2080", "t4")
  let gpus = try machine.run()
  #expect(gpus.contains("0000:01:00.0") && gpus.contains("0000:d8:00.0"))
  #expect(!gpus.contains("0000:01:00.1"))
  let all = try machine.run { $0.all = true }
  #expect(all.contains("0000:01:00.1") && all.contains("no GPU: a function of NVIDIA's"))
}

@Test func command_textReport() throws {
  let machine = try world("p100-pcie-16gb")
  machine.registers[0] = 0x1300_00a1
  let text = try machine.run { $0.probe = true }
  let expected = """
    0000:3b:00.0  3D controller  NVIDIA Corporation  GP100GL [Tesla P100 PCIe 16GB]
        ids            10de:15f8
        subsystem      10de:118f  NVIDIA Corporation
        class          030200
        revision       a1
        chip           GP100 (Pascal)
        verdict        modelled: id 0x15f8 lies among the listed boards of GP100, which profile\
     GP100 models
        BAR0           16 MiB at 0x92000000, memory, 32-bit, not prefetchable
        BAR1           16 GiB at 0x20000000000, memory, 64-bit, prefetchable
        BAR3           32 MiB at 0x20400000000, memory, 64-bit, prefetchable
        expansion ROM  512 KiB at 0x93000000
        driver         nouveau
        IOMMU group    12
        NUMA node      0
        link           8.0 GT/s x16 (maximum 8.0 GT/s x16)
        PMC_BOOT_0     0x130000a1: GP100 (Pascal), chipset 0x130, revision A1

    note: no pci.ids on this machine, so names may be missing (Debian: pci.ids)

    """
  #expect(text == expected)
}

@Test func command_jsonReportIsJSON() throws {
  let machine = try world("v100-pcie-16gb")
  machine.registers[0] = 0x1400_00a1
  let text = try machine.run {
    $0.json = true
    $0.probe = true
  }
  let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
  let device = try #require((object?["devices"] as? [[String: Any]])?.first)
  let verdict = try #require(device["verdict"] as? [String: Any])
  #expect(verdict["kind"] as? String == "known" && verdict["chip"] as? String == "GV100")
  let probe = try #require(device["probe"] as? [String: Any])
  #expect(probe["boot0"] as? String == "0x140000a1" && probe["chipset"] as? String == "0x140")
  #expect((device["record"] as? [String: Any])?["vendor"] as? String == "0x10de")
}

@Test func command_recordedDevicesGiveTheSameReport() throws {
  let machine = try world("rtx-2080", "t4")
  machine.registers[0] = 0x1640_00a1
  let live = try machine.run {
    $0.probe = true
    $0.record = "dump.json"
  }
  #expect(live.contains("note: 2 devices saved to dump.json"))
  machine.devices = []
  let replayed = try machine.run {
    $0.probe = true
    $0.from = "dump.json"
  }
  // A recording can't be driven, and it says where it comes from; all else is the same.
  let same = replayed.split(separator: "\n")
    .filter { !$0.contains("a recording can be read, not driven") && !$0.hasPrefix("note:") }
  let before = live.split(separator: "\n")
    .filter { !$0.contains("bring-up stops here") && !$0.hasPrefix("note:") }
  #expect(same == before)
}

@Test func command_lostDeviceIsNamed() throws {
  let machine = FakeWorld()
  machine.files["lost.json"] = try Recordings.bytes("p100-lost")
  let text = try machine.run {
    $0.from = "lost.json"
    $0.probe = true
  }
  #expect(text.contains("0xffffffff: all ones: no device answers; it has fallen off the bus"))
  #expect(text.contains("link           down (maximum 8.0 GT/s x16)"))
}

@Test func command_romFile() throws {
  let machine = FakeWorld()
  machine.files["good.rom"] = VBIOSBuilder().build()
  machine.files["bad.rom"] = [1, 2, 3]
  let text = try machine.run { $0.rom = .init("good.rom") }
  #expect(text.contains("version 86.00.4D.00.01") && text.contains("'i' version 2"))
  let json = try machine.run {
    $0.rom = .file("good.rom")
    $0.json = true
  }
  #expect(json.contains("\"version\" : \"86.00.4D.00.01\""))
  let said = message { _ = try machine.run { $0.rom = .file("bad.rom") } }
  #expect(said.hasPrefix("bad.rom holds no VBIOS: 0x00003: "), "\(said)")
  let both = message {
    _ = try machine.run {
      $0.rom = .file("good.rom")
      $0.all = true
    }
  }
  #expect(both.contains("--rom FILE looks at the file alone"))
}

@Test func command_romOfDevices() throws {
  let machine = try world("p100-pcie-16gb")
  var rom = VBIOSBuilder().build()
  rom += [UInt8](repeating: 0xff, count: (1 << 20) - rom.count)
  for at in stride(from: 0, to: rom.count, by: 4) {
    machine.registers[0x30_0000 + UInt64(at)] =
      UInt32(rom[at]) | UInt32(rom[at + 1]) << 8 | UInt32(rom[at + 2]) << 16
      | UInt32(rom[at + 3]) << 24
  }
  let text = try machine.run { $0.rom = .init("device") }
  #expect(text.contains("VBIOS          1048576 bytes, version 86.00.4D.00.01"))
  machine.registers = [:]
  let hidden = try machine.run { $0.rom = .device }
  #expect(hidden.contains("the PROM window of 0000:3b:00.0 is hidden"))
  machine.files["r.json"] = try Recordings.bytes("t4")
  let recorded = try machine.run {
    $0.rom = .device
    $0.from = "r.json"
  }
  #expect(recorded.contains("a recording holds no ROM"))
}

@Test func command_controlCharactersStayOffTheTerminal() throws {
  let machine = try world("t4")
  machine.devices[0].driver = "x\u{1b}[31mred"
  machine.devices[0].names.device = "a\u{9b}31m\nb"
  let text = try machine.run()
  #expect(text.contains("driver         x.[31mred"))
  #expect(text.contains("NVIDIA Corporation  a.31m.b\n"))
  #expect(!text.unicodeScalars.contains { $0 == "\u{1b}" || $0 == "\u{9b}" })
}

@Test func environment_filesOfThisMachine() throws {
  let path = FileManager.default.temporaryDirectory
    .appending(path: "pci-discovery-\(UUID().uuidString)").path
  defer { try? FileManager.default.removeItem(atPath: path) }
  let environment = DevicesEnvironment.thisMachine
  try environment.writeFile(path, "text")
  #expect(try environment.readFile(path) == Array("text".utf8))
  let missing = message { _ = try environment.readFile(path + ".none") }
  #expect(missing.contains("no such file or folder; check the path"), "\(missing)")
  let folder = message { _ = try environment.readFile("/tmp") }
  #expect(folder.contains("it is a folder; save"), "\(folder)")
  let device = message { _ = try environment.readFile("/dev/null") }
  #expect(device.contains("it is no regular file; save"), "\(device)")
  let nowhere = message { try environment.writeFile(path + "/x/y", "text") }
  #expect(nowhere.contains("can't be written"), "\(nowhere)")
}
