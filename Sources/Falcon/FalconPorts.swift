/// Where a falcon's memory access goes, as the memory interface's port says.
public enum FalconMemoryTarget: Hashable, Sendable {
  /// The address space of a channel; the number is the instance block's address >> 12.
  case channel(UInt32)
  /// Video memory by physical address.
  case videoMemory
  /// System memory by bus address.
  case systemMemory(snooped: Bool)
}

/// An access that memory refused: an address without a translation, a read-only page, a lost
/// device.
public struct FalconMemoryFault: Error, Hashable, Sendable {
  public let target: FalconMemoryTarget
  public let address: UInt64
  public let isWrite: Bool

  public init(target: FalconMemoryTarget, address: UInt64, isWrite: Bool) {
    self.target = target
    self.address = address
    self.isWrite = isWrite
  }
}

/// The memory that a falcon's transfers and its engine's copies reach.
public protocol FalconMemory: AnyObject {
  /// Reads `count` bytes.
  func read(
    _ target: FalconMemoryTarget, at address: UInt64, count: Int
  ) throws(FalconMemoryFault) -> [UInt8]

  /// Writes all of `bytes`.
  func write(
    _ bytes: [UInt8], to target: FalconMemoryTarget, at address: UInt64
  ) throws(FalconMemoryFault)

  /// Copies `count` bytes; an implementation that holds both ends can move them directly.
  func copy(
    from source: FalconMemoryTarget, at from: UInt64, to destination: FalconMemoryTarget,
    at to: UInt64, count: Int
  ) throws(FalconMemoryFault)
}

extension FalconMemory {
  public func copy(
    from source: FalconMemoryTarget, at from: UInt64, to destination: FalconMemoryTarget,
    at to: UInt64, count: Int
  ) throws(FalconMemoryFault) {
    try write(read(source, at: from, count: count), to: destination, at: to)
  }
}

/// The chip around a falcon: its clock, its interrupt input, the scheduler that feeds it.
public protocol FalconHost: AnyObject {
  /// PTIMER's time in nanoseconds.
  var time: UInt64 { get }
  /// The engine's interrupt inputs at the chip changed.
  func falconInterruptChanged(host: Bool, nonStalling: Bool)
  /// The microcode took a method off the FIFO.
  func falconMethodRetired(_ method: FalconMethod)
  /// The microcode finished the requested channel switch.
  func falconChannelSwitched(to channel: UInt32?)
}

/// A method on its way through the FIFO.
public struct FalconMethod: Hashable, Sendable {
  /// 0 to 7.
  public let subchannel: UInt32
  /// The method's number: its byte offset / 4, 0 to 0x7ff.
  public let number: UInt32
  public let data: UInt32

  public init(subchannel: UInt32 = 0, number: UInt32, data: UInt32) {
    self.subchannel = subchannel & 7
    self.number = number & 0x7ff
    self.data = data
  }

  /// A method by its byte offset, as class headers give it.
  public init(subchannel: UInt32 = 0, offset: UInt32, data: UInt32) {
    self.init(subchannel: subchannel, number: offset >> 2, data: data)
  }
}

/// The part of an engine that its falcon controls through I/O registers.
///
/// The owner drives it: ``advance(to:on:)`` is called no later than at ``deadline``.
public protocol FalconDevice: AnyObject {
  /// Host offsets that belong to the device.
  var window: Range<UInt32> { get }
  /// The value of a register, or nil when there is none at this host offset.
  func read(_ offset: UInt32, index: UInt32, on core: FalconCore) -> UInt32?
  /// Stores to a register; false when there is none at this host offset.
  func write(_ value: UInt32, to offset: UInt32, index: UInt32, on core: FalconCore) -> Bool
  /// The next cycle at which something happens by itself.
  var deadline: UInt64? { get }
  func advance(to cycle: UInt64, on core: FalconCore)
  /// The interrupt lines that the device holds high.
  var lines: UInt32 { get }
  /// Whether the device works on something (bit 1 of STATUS).
  var isBusy: Bool { get }
  func reset()
}
