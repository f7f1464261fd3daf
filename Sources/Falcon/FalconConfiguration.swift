import Base

/// The figures that differ between engines with a falcon of version 3.
public struct FalconConfiguration: Hashable, Sendable {
  /// Bytes of code memory; a multiple of 0x100, at most 0x10000.
  public var codeBytes: Int
  /// Bytes of data memory; a power of two of at least 0x100, at most 0x10000.
  public var dataBytes: Int
  /// Entries of the method FIFO.
  public var methodFIFODepth: Int
  /// Transfers that the queue holds.
  public var transferSlots: Int
  /// Bits of a virtual code page's number.
  public var codePageBits: Int
  /// Core cycles from a transfer's start to its end, without the bytes' own time.
  ///
  /// The sources give no figure; 64 is a choice, as are the two that follow.
  public var transferLatency: UInt64 = 64
  /// Bytes that a transfer moves in a cycle.
  public var transferBytesPerCycle: Int = 4
  /// Cycles between one step of a channel switch and the request for the next.
  public var channelSwitchLatency: UInt64 = 100

  /// Traps on figures that no version 3 engine can have: they are a programmer's error.
  public init(
    codeBytes: Int, dataBytes: Int, methodFIFODepth: Int, transferSlots: Int, codePageBits: Int
  ) {
    invariant(
      codeBytes >= 0x100 && codeBytes <= 0x10000 && codeBytes & 0xff == 0,
      "code memory of \(codeBytes) bytes")
    invariant(
      dataBytes >= 0x100 && dataBytes <= 0x10000 && dataBytes & (dataBytes - 1) == 0,
      "data memory of \(dataBytes) bytes")
    invariant((1...255).contains(methodFIFODepth), "a method FIFO of \(methodFIFODepth)")
    invariant((1...63).contains(transferSlots), "\(transferSlots) transfer slots")
    invariant((1...8).contains(codePageBits), "\(codePageBits) code page bits")
    self.codeBytes = codeBytes
    self.dataBytes = dataBytes
    self.methodFIFODepth = methodFIFODepth
    self.transferSlots = transferSlots
    self.codePageBits = codePageBits
  }

  /// The copy engines of GF100.
  /// SOURCE: envytools docs/hw/fifo/pcopy.rst (cv1): code 0x1200, data 0x800, FIFO 0x10, 8 transfer
  /// slots, 7 code page bits.
  public static let pcopy = FalconConfiguration(
    codeBytes: 0x1200, dataBytes: 0x800, methodFIFODepth: 0x10, transferSlots: 8, codePageBits: 7)

  /// The UC_CAPS register: sizes that the driver reads before it uploads.
  var caps: UInt32 {
    UInt32(codeBytes >> 8) | UInt32(dataBytes >> 8) << 9 | UInt32(methodFIFODepth) << 18
      | UInt32(transferSlots) << 26
  }

  /// The UC_CAPS2 register: version 3, no secret unit, one code port, one data port.
  var caps2: UInt32 { 3 | 1 << 8 | 1 << 12 | UInt32(codePageBits) << 16 }
}
