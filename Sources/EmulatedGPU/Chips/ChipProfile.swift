import NVHardware

/// What distinguishes one chip from another, as data; behaviour that all chips share lives in the
/// units; the two functions map the registers that moved between generations to the units.
public protocol ChipProfile: Sendable {
  /// Such as `GP100`.
  var name: String { get }
  /// What PMC_BOOT_0 reads.
  var boot0: UInt32 { get }
  var pciDeviceID: UInt32 { get }
  /// 24 bits.
  var pciClassCode: UInt32 { get }
  /// Vendor in 15:0, id in 31:16.
  var pciSubsystem: UInt32 { get }
  /// The class of channels.
  var hostClass: UInt32 { get }
  /// The class of copy engines.
  var copyClass: UInt32 { get }
  /// Channel ids.
  var channelCount: UInt32 { get }
  /// PTOP's table: engine, runlist, interrupt, reset and fault numbers.
  var engines: [ChipEngine] { get }
  /// Frame buffer partitions of two units each at most.
  var partitionCount: UInt32 { get }
  /// Entries of the replayable fault buffer.
  var faultBufferEntries: UInt32 { get }
  /// A register that only this generation has at this offset; nil when it has none there.
  func read(_ offset: UInt32, of gpu: EmulatedGPU) -> UInt32?
  /// False when this generation has no such register.
  func write(_ value: UInt32, to offset: UInt32, of gpu: EmulatedGPU) -> Bool
}

/// One engine of a chip.
public struct ChipEngine: Sendable, Hashable {
  public enum Kind: Sendable, Hashable {
    case graphics
    /// A logical copy engine, by instance.
    case copy(UInt32)
    /// A copy engine whose methods its microcode carries out, by instance.
    case falconCopy(UInt32)
  }

  public let kind: Kind
  public let engine: UInt32
  public let runlist: UInt32
  public let interrupt: UInt32
  public let reset: UInt32
  public let faultID: UInt32
  /// The client that faults of this engine name.
  public let faultClient: UInt32
  /// Where its registers begin.
  public let priBase: UInt32

  public init(
    _ kind: Kind, engine: UInt32, runlist: UInt32, interrupt: UInt32, reset: UInt32,
    faultID: UInt32, faultClient: UInt32, priBase: UInt32
  ) {
    self.kind = kind
    self.engine = engine
    self.runlist = runlist
    self.interrupt = interrupt
    self.reset = reset
    self.faultID = faultID
    self.faultClient = faultClient
    self.priBase = priBase
  }

  var topology: TopologyEntry {
    var type = NV_PTOP.DEVICE_INFO_TYPE_ENUM_GRAPHICS
    var instance: UInt32 = 0
    switch kind {
    case .graphics: break
    case .copy(let number):
      type = NV_PTOP.DEVICE_INFO_TYPE_ENUM_LCE
      instance = number
    // Before logical engines, each copy engine had a type of its own.
    case .falconCopy(let number): type = NV_PTOP.DEVICE_INFO_TYPE_ENUM_COPY0 + number
    }
    return TopologyEntry(
      type: type, instance: instance, priBase: priBase, faultID: faultID, engine: engine,
      runlist: runlist, interrupt: interrupt, reset: reset)
  }
}
