public import DeviceSeam

/// Reading a PCI device, whatever stands behind it.
///
/// There is no way to write: what identifies a device needs none, and this reference doesn't drive
/// real boards. The driver's own bus protocol is built on top of it where a device may be driven.
public protocol PCIDeviceAccess {
  var side: PCIDeviceSide { get }
  /// What is known of the device without touching it.
  var record: PCIDeviceRecord { get }
  /// Reads `count` 32-bit registers of a window from `offset`, a multiple of 4.
  func readRegisters(bar: Int, offset: UInt64, count: Int) throws(DiscoveryError) -> [UInt32]
}

/// A device of this project's own: the caller says how its registers are read.
public struct EmulatedDeviceAccess: PCIDeviceAccess {
  public let record: PCIDeviceRecord
  private let read: (_ bar: Int, _ offset: UInt64) throws(DiscoveryError) -> UInt32

  /// `read` answers for one register of a window.
  public init(
    record: PCIDeviceRecord,
    read: @escaping (_ bar: Int, _ offset: UInt64) throws(DiscoveryError) -> UInt32
  ) {
    self.record = record
    self.read = read
  }

  public var side: PCIDeviceSide { .emulated }

  public func readRegisters(
    bar: Int, offset: UInt64, count: Int
  ) throws(DiscoveryError) -> [UInt32] {
    var values: [UInt32] = []
    for index in 0..<max(0, count) { values.append(try read(bar, offset + UInt64(index) * 4)) }
    return values
  }
}

/// A recorded device: it answers for the registers that were recorded.
public struct RecordedDeviceAccess: PCIDeviceAccess {
  public let record: PCIDeviceRecord

  public init(record: PCIDeviceRecord) { self.record = record }

  public var side: PCIDeviceSide { .recorded }

  public func readRegisters(
    bar: Int, offset: UInt64, count: Int
  ) throws(DiscoveryError) -> [UInt32] {
    var values: [UInt32] = []
    for index in 0..<max(0, count) {
      let (at, overflow) = offset.addingReportingOverflow(UInt64(index) * 4)
      guard !overflow,
        let found = record.registers.first(where: { $0.bar == bar && $0.offset == at })
      else {
        throw DiscoveryError(
          "the recording of \(record.address) has no register at BAR\(bar)"
            + " \(HexText.prefixed(at, digits: 6))",
          remedy: "record it on the machine with --probe --record FILE")
      }
      values.append(found.value)
    }
    return values
  }
}

/// A device in this machine: its registers are read through a mapping without write access.
public struct RealDeviceAccess: PCIDeviceAccess {
  public let record: PCIDeviceRecord

  public init(record: PCIDeviceRecord) { self.record = record }

  public var side: PCIDeviceSide { .real }

  public func readRegisters(
    bar: Int, offset: UInt64, count: Int
  ) throws(DiscoveryError) -> [UInt32] {
    // With decoding off nothing answers, and the all ones would look like a lost device.
    guard record.configSpace.decodesMemory != false else {
      throw DiscoveryError(
        "\(record.address) doesn't decode memory accesses (command bit 1 is clear)",
        remedy: "bind a driver or enable the device; this program never writes to a device")
    }
    return try LiveMachine.readRegisters(
      at: record.address, bar: bar, offset: offset, count: count)
  }
}
