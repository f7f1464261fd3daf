#if PCIAccess
  import Foundation
  import PCIDiscovery
  import Testing

  /// Why this machine can't be compared with lspci; nil when it can.
  private let obstacle: String? =
    if ProgramRun.find("lspci") == nil {
      "lspci is not installed (Debian: pciutils)"
    } else if (try? FileManager.default.contentsOfDirectory(atPath: "/sys/bus/pci/devices"))?
      .isEmpty != false
    {
      "this machine has no PCI devices"
    } else {
      nil
    }

  private func lspci(_ arguments: String...) throws -> DeviceText.Content {
    let path = try #require(ProgramRun.find("lspci"))
    let run = try ProgramRun(path, arguments)
    #expect(run.status == 0, "lspci \(arguments): \(run.errors)")
    return try DeviceText.parse(Array(run.output.utf8), file: "lspci \(arguments)")
  }

  /// This machine's own devices through libpciaccess, field by field against lspci, which has its
  /// own way to them.
  @Suite(.enabled(if: obstacle == nil, Comment(rawValue: obstacle ?? "")))
  struct LiveMachineTests {
    @Test func idsClassesAndDriversAgreeWithLspci() throws {
      let found = try LiveMachine.scan()
      let expected = try lspci("-vmmnnDk").devices
      #expect(found.map(\.address) == expected.map(\.address))
      for (a, b) in zip(found, expected) {
        #expect(a.vendor == b.vendor && a.device == b.device, "\(a.address)")
        #expect(a.classCode == b.classCode, "\(a.address)")
        #expect(a.revision == b.revision, "\(a.address)")
        // lspci leaves the subsystem's lines out when the ids are 0.
        #expect(a.subsystemVendor == b.subsystemVendor ?? 0, "\(a.address)")
        #expect(a.subsystem == b.subsystem ?? 0, "\(a.address)")
        #expect(a.driver == b.driver, "\(a.address)")
        #expect(a.numaNode == b.numaNode, "\(a.address)")
        #expect(a.iommuGroup == b.iommuGroup, "\(a.address)")
      }
    }

    @Test func namesAgreeWithLspci() throws {
      var found = try LiveMachine.scan()
      let expected = try lspci("-vmmnnD").devices
      let database = try #require(PCIIDDatabase.ofThisMachine(), "no pci.ids, but lspci is there")
      for (index, b) in expected.enumerated() where index < found.count {
        // The library's names and our own reader's agree before either is compared with lspci.
        let library = found[index].names
        let own = database.names(of: found[index])
        #expect(library.vendor == own.vendor && library.device == own.device)
        #expect(library.subsystemVendor == own.subsystemVendor, "\(b.address)")
        found[index].names.deviceClass = own.deviceClass
        #expect(found[index].names.vendor == b.names.vendor, "\(b.address)")
        #expect(found[index].names.device == b.names.device, "\(b.address)")
        // lspci prints "Unassigned class" for 0xff, which the database calls the same.
        #expect(found[index].names.deviceClass == b.names.deviceClass, "\(b.address)")
      }
    }

    @Test func configurationSpaceAndWindowsAgreeWithLspci() throws {
      let found = try LiveMachine.scan()
      let expected = try lspci("-vvxxxxD").devices
      #expect(found.map(\.address) == expected.map(\.address))
      for (a, b) in zip(found, expected) {
        let readable = min(a.config.count, b.config.count)
        #expect(readable >= PCIConfigSpace.headerSize)
        // The status word may change between the two reads.
        for offset in 0..<64 where !(6...7).contains(offset) {
          #expect(a.config[offset] == b.config[offset], "\(a.address) byte \(offset)")
        }
        #expect(a.config.count == b.config.count, "\(a.address)")
        #expect(a.regions == b.regions, "\(a.address)")
        #expect(a.expansionROM?.size == b.expansionROM?.size, "\(a.address)")
        #expect(a.link == b.link, "\(a.address)")
      }
    }

    @Test func aRecordingOfThisMachineKeepsEverything() throws {
      let found = try LiveMachine.scan()
      let text = try PCIRecording(note: "this machine", devices: found).text()
      let back = try DeviceText.parse(Array(text.utf8), file: "recording")
      expectEqual(try difference(back.devices, found))
    }

    @Test func scansDoNotDisturbEachOther() async throws {
      let expected = try LiveMachine.scan()
      try await withThrowingTaskGroup(of: [PCIDeviceRecord].self) { group in
        for _ in 0..<8 { group.addTask { try LiveMachine.scan() } }
        for try await found in group { #expect(found.map(\.address) == expected.map(\.address)) }
      }
    }

    @Test func registersThatAreNotThereAreRefused() throws {
      let missing = PCIDeviceRecord(
        address: try #require(PCIAddress("ffff:ff:1f.7")), vendor: 0x10de, device: 0,
        classCode: 0x030000)
      let said = message {
        _ = try RealDeviceAccess(record: missing).readRegisters(bar: 0, offset: 0, count: 1)
      }
      #expect(said.contains("ffff:ff:1f.7 has no mapped window BAR0"), "\(said)")
    }

    @Test func commandAnswersOnThisMachine() throws {
      var command = DevicesCommand()
      command.all = true
      let text = try command.run(in: .thisMachine)
      for record in try LiveMachine.scan() { #expect(text.contains("\(record.address)  ")) }
    }
  }
#endif
