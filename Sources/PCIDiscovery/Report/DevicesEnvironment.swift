import FoundationEssentials

/// What `nouveau devices` needs of the world: the machine, files, and the id database.
public struct DevicesEnvironment {
  public var scan: () throws(DiscoveryError) -> [PCIDeviceRecord]
  /// How a scanned device is read.
  public var access: (PCIDeviceRecord) -> any PCIDeviceAccess
  public var readFile: (String) throws(DiscoveryError) -> [UInt8]
  public var writeFile: (String, String) throws(DiscoveryError) -> Void
  /// Nil where the machine has no database of ids.
  public var names: () -> PCIIDDatabase?

  public init(
    scan: @escaping () throws(DiscoveryError) -> [PCIDeviceRecord],
    access: @escaping (PCIDeviceRecord) -> any PCIDeviceAccess,
    readFile: @escaping (String) throws(DiscoveryError) -> [UInt8],
    writeFile: @escaping (String, String) throws(DiscoveryError) -> Void,
    names: @escaping () -> PCIIDDatabase?
  ) {
    self.scan = scan
    self.access = access
    self.readFile = readFile
    self.writeFile = writeFile
    self.names = names
  }

  /// This machine and its files.
  public static var thisMachine: DevicesEnvironment {
    DevicesEnvironment(
      scan: { () throws(DiscoveryError) in try LiveMachine.scan() },
      access: { RealDeviceAccess(record: $0) },
      readFile: { (path: String) throws(DiscoveryError) in
        try requireFile(path)
        do {
          return [UInt8](try Data(contentsOf: URL(filePath: path)))
        } catch {
          throw DiscoveryError(
            "\(path) can't be read: \(reason(error))", remedy: "check the path and its permissions")
        }
      },
      writeFile: { (path: String, text: String) throws(DiscoveryError) in
        do {
          try Data(text.utf8).write(to: URL(filePath: path), options: .atomic)
        } catch {
          throw DiscoveryError(
            "\(path) can't be written: \(reason(error))",
            remedy: "check that its folder exists and may be written")
        }
      },
      names: { PCIIDDatabase.ofThisMachine() })
  }

  /// Foundation's own errors about folders and devices name something else.
  private static func requireFile(_ path: String) throws(DiscoveryError) {
    let target = URL(filePath: path).resolvingSymlinksInPath().path
    guard
      let attributes = try? FileManager.default.attributesOfItem(atPath: target),
      let type = attributes[.type] as? FileAttributeType, type != .typeRegular
    else { return }
    throw DiscoveryError(
      "\(path) can't be read: it is \(type == .typeDirectory ? "a folder" : "no regular file")",
      remedy: "save what it gives to a file, and pass that")
  }

  private static func reason(_ error: any Error) -> String {
    guard let error = error as? CocoaError else { return "\(error)" }
    switch error.code {
    case .fileNoSuchFile, .fileReadNoSuchFile: return "no such file or folder"
    case .fileReadNoPermission, .fileWriteNoPermission: return "permission denied"
    default: return "error \(error.code.rawValue) of Foundation"
    }
  }
}
