#if PCIAccess
  import Foundation
  import PCIDiscovery
  import Testing

  /// What runs inside the mocked machine: this test program, started anew with one test.
  enum MockedChild {
    static let modeKey = "PCI_DISCOVERY_MOCK_MODE"
    static let outputKey = "PCI_DISCOVERY_MOCK_OUTPUT"

    /// What the child is to do; nil in the ordinary run.
    static var mode: String? { ProcessInfo.processInfo.environment[modeKey] }
  }

  @Suite(.enabled(if: MockedChild.mode != nil, "runs inside the mocked machine only"))
  struct MockedMachineChild {
    @Test func mockedMachineChild() throws {
      let environment = ProcessInfo.processInfo.environment
      let output = try #require(environment[MockedChild.outputKey])
      let folder = try #require(environment["UMOCKDEV_DIR"])
      var command = DevicesCommand()
      switch MockedChild.mode {
      case "record":
        command.all = true
        command.probe = true
        command.record = output
      case "unprivileged":
        command.probe = true
        try Self.dropPrivileges(folder: folder, output: output)
      case "rom":
        command.rom = .device
        try Self.addROM(folder: folder)
      default:
        break
      }
      let before = try Self.snapshot(folder)
      let text = try command.run(in: .thisMachine)
      let after = try Self.snapshot(folder)
      #expect(before.count > 20)
      #expect(before == after, "the scan changed something in sysfs")
      if command.record == nil {
        let file = try #require(FileHandle(forWritingAtPath: output))
        try file.write(contentsOf: Data(text.utf8))
      }
    }

    /// Every file of the mocked sysfs with its content and its time of change.
    private static func snapshot(_ folder: String) throws -> [String] {
      let files = FileManager.default
      var result: [String] = []
      for name in try files.subpathsOfDirectory(atPath: "\(folder)/sys").sorted() {
        let path = "\(folder)/sys/\(name)"
        let attributes = try files.attributesOfItem(atPath: path)
        let changed = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
        let content = files.contents(atPath: path)
        result.append("\(name) \(changed) \(content?.count ?? 0) \(content?.hashValue ?? 0)")
      }
      return result
    }

    /// Makes the registers readable by root alone and stops being root.
    private static func dropPrivileges(folder: String, output: String) throws {
      let files = FileManager.default
      try files.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder)
      let devices = "\(folder)/sys/bus/pci/devices"
      for name in try files.contentsOfDirectory(atPath: devices) {
        let file = "\(devices)/\(name)/resource0"
        guard files.fileExists(atPath: file) else { continue }
        let mode = geteuid() == 0 ? 0o600 : 0
        try files.setAttributes(
          [.posixPermissions: mode],
          ofItemAtPath: URL(filePath: file).resolvingSymlinksInPath().path)
      }
      if geteuid() == 0 { #expect(setgid(65534) == 0 && setuid(65534) == 0) }
    }

    /// Lengthens the registers' file up to the end of the PROM window and puts a BIOS there.
    private static func addROM(folder: String) throws {
      let path = "\(folder)/sys/bus/pci/devices/0000:3b:00.0/resource0"
      let file = try #require(FileHandle(forWritingAtPath: path))
      try file.truncate(atOffset: 0x40_0000)
      try file.seek(toOffset: 0x30_0000)
      try file.write(contentsOf: Data(VBIOSBuilder().build()))
      try file.close()
    }
  }

  /// libpciaccess on NVIDIA boards that umockdev puts into sysfs.
  @Suite(
    .enabled(
      if: MockedMachine.obstacle == nil && MockedChild.mode == nil,
      Comment(rawValue: MockedMachine.obstacle ?? "runs outside the mocked machine")))
  struct MockedBoardTests {
    private func run(_ machine: MockedMachine, mode: String) throws -> String {
      let output = machine.path("out")
      _ = FileManager.default.createFile(
        atPath: output, contents: nil, attributes: [.posixPermissions: 0o666])
      let run = try machine.run(test: "mockedMachineChild", mode: mode)
      let text = try String(contentsOfFile: output, encoding: .utf8)
      #expect(run.status == 0 && !text.isEmpty, "\(mode): \(run.output.suffix(2000)) \(run.errors)")
      return text
    }

    @Test func scanAndProbeGiveTheRecordings() throws {
      var expected = try Recordings.boards()
      let machine = try MockedMachine(expected)
      defer { machine.remove() }
      let text = try run(machine, mode: "record")
      var found = try PCIRecording.parse(Array(text.utf8), file: "out").devices
      for index in found.indices {
        // Names come from the machine's own database, which may be older or newer.
        found[index].names = .init()
        expected[index].names = .init()
      }
      expectEqual(try difference(found, expected))
    }

    @Test(.enabled(if: ProgramRun.find("lspci") != nil, "lspci is not installed (pciutils)"))
    func lspciSeesTheSameBoards() throws {
      let expected = try Recordings.boards()
      let machine = try MockedMachine(expected)
      defer { machine.remove() }
      let lspci = try #require(ProgramRun.find("lspci"))
      let list = try machine.run([lspci, "-vmmnnDk"])
      let found = try DeviceText.parse(Array(list.output.utf8), file: "list").devices
      #expect(found.map(\.address) == expected.map(\.address))
      for (a, b) in zip(found, expected) {
        #expect(a.vendor == b.vendor && a.device == b.device && a.classCode == b.classCode)
        #expect(a.subsystem == b.subsystem && a.revision == b.revision)
        // Not the driver: Debian's lspci reads that link with glibc's __readlink_chk, which
        // umockdev doesn't replace.
        #expect(a.iommuGroup == b.iommuGroup && a.numaNode == b.numaNode, "\(a.address)")
      }
      let dump = try machine.run([lspci, "-vvxxxxD"])
      let dumped = try DeviceText.parse(Array(dump.output.utf8), file: "dump").devices
      for (a, b) in zip(dumped, expected) {
        #expect(a.config == b.config && a.link == b.link, "\(a.address)")
        #expect(a.regions == b.regions, "\(a.address): \(a.regions)")
        #expect(a.expansionROM == b.expansionROM, "\(a.address)")
      }
    }

    @Test func withoutPrivilegesTheProbeIsRefused() throws {
      let machine = try MockedMachine(try Recordings.load("t4").devices)
      defer { machine.remove() }
      try FileManager.default.setAttributes(
        [.posixPermissions: 0o777], ofItemAtPath: machine.folder.path)
      let text = try run(machine, mode: "unprivileged")
      #expect(
        text.contains("not read: mapping the registers needs privileges (EACCES); run as root"),
        "\(text)")
      #expect(text.contains("bring-up stops here: this reference does not drive real boards"))
    }

    @Test func theROMIsReadThroughThePROMWindow() throws {
      let machine = try MockedMachine(try Recordings.load("p100-pcie-16gb").devices)
      defer { machine.remove() }
      let text = try run(machine, mode: "rom")
      #expect(text.contains("1048576 bytes, version 86.00.4D.00.01"), "\(text)")
    }

    @Test func noWritingFunctionOfTheLibraryIsCalled() throws {
      let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Sources/PCIDiscovery/Live/LibPCIAccess.swift")
      let text = try String(contentsOf: file, encoding: .utf8)
      let writing = [
        "pci_device_cfg_write", "pci_device_read_rom(", "pci_device_enable(", "pci_io_write",
        "pci_device_disable(", "PCI_DEV_MAP_FLAG_WRITABLE", "pci_device_vgaarb", "map_legacy(",
      ]
      for name in writing { #expect(!text.contains(name), "\(name) writes to the device") }
    }
  }
#endif
