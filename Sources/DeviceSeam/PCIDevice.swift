/// A PCI function's configuration space, as a driver reaches it.
public protocol PCIConfigurationSpace: AnyObject {
  /// The dword at `offset`, a multiple of 4 below 4096; all ones when the function is gone.
  func readConfiguration(at offset: Int) -> UInt32
  /// Writes the dword at `offset`; dropped when the function is gone.
  func writeConfiguration(_ value: UInt32, at offset: Int)
}

/// A window of registers. Accesses are 32 bits wide and aligned, as the GPU's BAR0 demands.
public protocol RegisterWindow: AnyObject {
  /// The window's size in bytes.
  var byteCount: UInt64 { get }
  /// The register at `offset`; all ones when the device is gone.
  func read32(at offset: UInt32) -> UInt32
  /// Writes the register at `offset`; dropped when the device is gone.
  func write32(_ value: UInt32, at offset: UInt32)
  /// Writes `value` to `count` dwords from `offset` on (`memset_io`). A window onto memory may do
  /// it at once; elsewhere it is `count` writes.
  func fill32(_ value: UInt32, at offset: UInt32, count: Int)
  /// Writes `first`, `first + step`, … as `count` 64-bit words from `offset` on, what page-table
  /// entries of pages in a row are. A window onto memory may do it at once; elsewhere it is two
  /// writes a word, the high half first.
  func writeSeries(_ first: UInt64, step: UInt64, at offset: UInt32, count: Int)
}

extension RegisterWindow {
  public func fill32(_ value: UInt32, at offset: UInt32, count: Int) {
    for index in 0..<UInt32(count) { write32(value, at: offset + 4 * index) }
  }

  public func writeSeries(_ first: UInt64, step: UInt64, at offset: UInt32, count: Int) {
    var word = first
    for index in 0..<UInt32(count) {
      write32(UInt32(truncatingIfNeeded: word >> 32), at: offset + 8 * index + 4)
      write32(UInt32(truncatingIfNeeded: word), at: offset + 8 * index)
      word &+= step
    }
  }
}

/// A window onto a device's memory through which the CPU reads and writes words (BAR1).
public protocol ApertureWindow: AnyObject {
  var byteCount: UInt64 { get }
  func read32(at offset: UInt64) -> UInt32
  func write32(_ value: UInt32, at offset: UInt64)
}

/// Which of the bus's three sides a function is on.
public enum PCIDeviceSide: String, Sendable, Codable {
  /// A device of this project's own, which may be driven.
  case emulated
  /// A device that someone recorded.
  case recorded
  /// A device in this machine, which may only be read.
  case real

  /// Whether a driver may write to it. On the other sides writes go nowhere.
  public var mayBeDriven: Bool { self == .emulated }
}

/// What the bus gives a driver for one function: the driver's whole view of the hardware.
///
/// Three sides stand behind it: the emulated device, a recording, and a real device that can only
/// be read. A driver asks ``side`` before its first write.
public protocol PCIDevice: PCIConfigurationSpace {
  /// Emulated, unless the type says otherwise.
  var side: PCIDeviceSide { get }
  /// Such as `0000:01:00.0`.
  var busAddress: String { get }
  /// BAR0, the registers.
  var registers: any RegisterWindow { get }
  /// BAR1, the aperture onto VRAM; nil where none is mapped.
  var aperture: (any ApertureWindow)? { get }
  /// The function's one interrupt (MSI).
  var interrupt: InterruptLine { get }
  /// Through which alone the device reaches host memory.
  var dma: DMAAddressSpace { get }
  /// BAR1 as other devices reach it; nil where they can't.
  var peerWindow: (any PeerWindow)? { get }
}

extension PCIDevice {
  public var side: PCIDeviceSide { .emulated }
  public var peerWindow: (any PeerWindow)? { nil }
}

/// Where a driver gets firmware images from (`request_firmware`).
public protocol FirmwareStore: AnyObject {
  /// The image at `path`, such as `nvidia/gp100/acr/bl.bin`; nil when there is none.
  func image(at path: String) -> [UInt8]?
}
