/// This machine's own PCI devices.
public enum LiveMachine {
  /// Whether the package was built with libpciaccess (trait `PCIAccess`).
  public static var isSupported: Bool {
    #if PCIAccess
      true
    #else
      false
    #endif
  }

  /// Finds every PCI function, sorted by address; empty where the machine has no PCI bus.
  ///
  /// Nothing is written to a device, its configuration space or sysfs.
  public static func scan() throws(DiscoveryError) -> [PCIDeviceRecord] {
    #if PCIAccess
      guard var records = try LibPCIAccess.scan() else { return [] }
      let sysfs = SysfsReader()
      for index in records.indices { sysfs.extend(&records[index]) }
      return records
    #else
      throw unsupported
    #endif
  }

  /// Reads registers of a device's window through a read-only mapping.
  static func readRegisters(
    at address: PCIAddress, bar: Int, offset: UInt64, count: Int
  ) throws(DiscoveryError) -> [UInt32] {
    #if PCIAccess
      try LibPCIAccess.readRegisters(at: address, bar: bar, offset: offset, count: count)
    #else
      throw unsupported
    #endif
  }

  /// What to say in a build without the library.
  static let unsupported = DiscoveryError(
    "this build has no libpciaccess, so it can't look at the machine's own devices",
    remedy: "read a file with --from, or install libpciaccess-dev and build with default traits")
}
