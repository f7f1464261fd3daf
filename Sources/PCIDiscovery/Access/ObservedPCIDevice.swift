public import Base
public import DeviceSeam
public import KernelRuntime

/// A recorded or a real device as a driver's bus has it: it can be read, and writes go nowhere.
///
/// What can't be read reads as all ones, as on a bus where nothing answers. The device never
/// interrupts, and its bus reaches no memory.
public final class ObservedPCIDevice: PCIDevice {
  public let side: PCIDeviceSide
  public let busAddress: String
  public let interrupt: InterruptLine
  public let dma: DMAAddressSpace
  public let registers: any RegisterWindow
  public var aperture: (any ApertureWindow)? { nil }
  private let config: PCIConfigSpace
  private let window: ObservedRegisters
  private var droppedConfigurationWrites = 0

  /// Writes that a driver tried, all of them dropped.
  public var droppedWrites: Int { droppedConfigurationWrites + window.droppedWrites }
  /// Why registers could not be read, oldest first, the first few.
  public var refusals: [DiscoveryError] { window.refusals }

  /// - Throws: `ENOMEM` when the host has no page left.
  public init(_ kernel: Kernel, _ access: any PCIDeviceAccess) throws(KernelError) {
    side = access.side
    busAddress = access.record.address.description
    config = access.record.configSpace
    interrupt = InterruptLine(kernel, busAddress)
    let page = try MappedMemory(count: PageSize.bytes)
    dma = try DMAAddressSpace(kernel, ram: page, coherentBytes: PageSize.bytes)
    let bar0 = access.record.regions.first { $0.index == 0 }?.size
    window = ObservedRegisters(access, byteCount: bar0 ?? 16 << 20)
    registers = window
  }

  public func readConfiguration(at offset: Int) -> UInt32 { config.read32(offset) ?? .max }

  public func writeConfiguration(_ value: UInt32, at offset: Int) {
    droppedConfigurationWrites += 1
  }
}

/// BAR0 of an observed device.
private final class ObservedRegisters: RegisterWindow {
  let byteCount: UInt64
  private let access: any PCIDeviceAccess
  private(set) var droppedWrites = 0
  private(set) var refusals: [DiscoveryError] = []
  private static let mostRefusals = 64

  init(_ access: any PCIDeviceAccess, byteCount: UInt64) {
    self.access = access
    self.byteCount = byteCount
  }

  func read32(at offset: UInt32) -> UInt32 {
    do {
      return try access.readRegisters(bar: 0, offset: UInt64(offset), count: 1).first ?? .max
    } catch {
      if refusals.count < Self.mostRefusals { refusals.append(error) }
      return .max
    }
  }

  func write32(_ value: UInt32, at offset: UInt32) { droppedWrites += 1 }
}
