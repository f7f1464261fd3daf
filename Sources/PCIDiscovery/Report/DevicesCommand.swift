import DeviceSeam

/// The command `nouveau devices`, without the parsing of its arguments.
///
/// The options' meaning is described in docs/discovery.md.
public struct DevicesCommand: Hashable, Sendable {
  /// Where `--rom` finds a BIOS.
  public enum ROMSource: Hashable, Sendable {
    /// Each listed GPU's own, through the PROM window.
    case device
    case file(String)

    /// Reads the option's value: the word `device`, or a path (`./device` for a file of that name).
    public init(_ text: String) { self = text == "device" ? .device : .file(text) }
  }

  /// Lists all PCI devices instead of NVIDIA's display and 3D controllers.
  public var all = false
  /// Answers in JSON.
  public var json = false
  /// Reads PMC_BOOT_0 of each GPU.
  public var probe = false
  public var rom: ROMSource?
  /// Saves what was found to this file.
  public var record: String?
  /// Reads this file instead of the machine.
  public var from: String?

  public init() {}

  /// Runs the command; the result is what goes to standard output.
  ///
  /// No device is an answer, not an error. Errors: a file that can't be read, parsed or written; a
  /// build without libpciaccess that is asked for the machine's own devices; options that exclude
  /// each other.
  public func run(in environment: DevicesEnvironment) throws(DiscoveryError) -> String {
    if case .file(let path) = rom { return try romFile(path, in: environment) }
    let report = try report(in: environment)
    return json ? try report.reportJSON() : report.text
  }

  private func romFile(
    _ path: String, in environment: DevicesEnvironment
  ) throws(DiscoveryError) -> String {
    guard !all, !probe, record == nil, from == nil else {
      throw DiscoveryError(
        "--rom FILE looks at the file alone: --all, --probe, --record and --from don't go with it",
        remedy: "run the command twice, or use --rom device")
    }
    let report = ROMReport(try environment.readFile(path))
    if case .broken(let error) = report {
      throw DiscoveryError(
        "\(path) holds no VBIOS: \(error)",
        remedy: "pass a whole ROM image, as sysfs's rom file or a flash tool gives it")
    }
    return json ? try report.reportJSON() : report.text(file: path)
  }

  /// Builds the report and saves the recording.
  public func report(in environment: DevicesEnvironment) throws(DiscoveryError) -> DevicesReport {
    var notes: [String] = []
    let (origin, found) = try source(in: environment, notes: &notes)
    let shown = all ? found : found.filter(\.isNVIDIADisplay)
    var devices = shown.map { DeviceReport(record: $0) }
    var records = shown
    for index in devices.indices where shown[index].isNVIDIADisplay {
      let access: any PCIDeviceAccess =
        from == nil
        ? environment.access(shown[index]) : RecordedDeviceAccess(record: shown[index])
      if probe {
        let identification = Identification(of: access)
        devices[index].identification = identification
        if case .read(let value, _) = identification.outcome {
          Self.keep(value, in: &records[index])
        }
      }
      if rom == .device { devices[index].rom = Self.readROM(access) }
    }
    if let record {
      let recording = PCIRecording(note: "devices of \(origin)", devices: records)
      try environment.writeFile(record, try recording.text())
      notes.append("\(records.count) devices saved to \(record)")
    }
    return DevicesReport(origin: origin, total: found.count, devices: devices, notes: notes)
  }

  /// The devices, by where they come from, with names for all ids that have one.
  private func source(
    in environment: DevicesEnvironment, notes: inout [String]
  ) throws(DiscoveryError) -> (String, [PCIDeviceRecord]) {
    var found: [PCIDeviceRecord]
    let origin: String
    if let from {
      let content = try DeviceText.parse(try environment.readFile(from), file: from)
      found = content.devices
      origin = "\(from) (\(content.kind.rawValue))"
      if let note = content.note, !note.isEmpty { notes.append("\(from) says: \(note)") }
    } else {
      found = try environment.scan()
      origin = "this machine"
    }
    guard let database = environment.names() else {
      notes.append("no pci.ids on this machine, so names may be missing (Debian: pci.ids)")
      return (origin, found)
    }
    for index in found.indices where all || found[index].isNVIDIADisplay {
      found[index].names.fill(from: database.names(of: found[index]))
    }
    return (origin, found)
  }

  /// Adds PMC_BOOT_0 to the record, so that a recording can answer a probe.
  private static func keep(_ value: UInt32, in record: inout PCIDeviceRecord) {
    record.registers.removeAll { $0.bar == 0 && $0.offset == BootZero.offset }
    record.registers.append(.init(bar: 0, offset: BootZero.offset, value: value))
  }

  private static func readROM(_ access: any PCIDeviceAccess) -> ROMReport {
    guard access.side != .recorded else {
      return .unread(
        DiscoveryError(
          "a recording holds no ROM, which is the board vendor's work",
          remedy: "save the ROM on the machine and pass --rom FILE"))
    }
    do {
      return ROMReport(try PROMReader.read(access))
    } catch {
      return .unread(error)
    }
  }
}

extension PCIDeviceRecord.Names {
  /// Takes from `other` the names that are missing.
  mutating func fill(from other: PCIDeviceRecord.Names) {
    vendor = vendor ?? other.vendor
    device = device ?? other.device
    subsystemVendor = subsystemVendor ?? other.subsystemVendor
    subsystem = subsystem ?? other.subsystem
    deviceClass = deviceClass ?? other.deviceClass
  }
}
