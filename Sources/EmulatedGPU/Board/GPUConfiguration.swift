/// What an emulated board is made of.
public struct GPUConfiguration: Sendable {
  /// The chip; ``GP100`` is the one that stands.
  public var chip: any ChipProfile
  /// Video memory in bytes, a multiple of 1 MiB. Costs nothing until touched.
  public var vramBytes: UInt64
  /// The size of BAR1 in bytes, a power of two of at least 64 MiB.
  public var bar1Bytes: UInt64
  /// Such as `0000:01:00.0`.
  public var busAddress: String
  /// What stands before the names of its engines and its interrupt where a machine has several
  /// GPUs, such as `gpu1`; nothing for the first.
  public var label = ""
  /// Durations of what the device does, in virtual time.
  public var cost: GPUCostModel
  /// How the failures of `gpu.*` behave when they strike.
  public var faults: GPUFaultModel
  /// Off, copy engines do everything but move bytes. For measuring what all the rest costs, and for
  /// nothing else: pages then arrive with whatever their new place held.
  public var movesBytes = true

  /// A name within the machine.
  func named(_ name: String) -> String { label.isEmpty ? name : "\(label) \(name)" }

  public init(
    chip: any ChipProfile = GP100(), vramBytes: UInt64 = 16 << 30, bar1Bytes: UInt64 = 256 << 20,
    busAddress: String = "0000:01:00.0", cost: GPUCostModel = GPUCostModel(),
    faults: GPUFaultModel = GPUFaultModel()
  ) {
    self.chip = chip
    self.vramBytes = vramBytes
    self.bar1Bytes = bar1Bytes
    self.busAddress = busAddress
    self.cost = cost
    self.faults = faults
  }
}

/// Virtual durations in nanoseconds, and rates in bytes per microsecond (MB/s).
///
/// A model of orders of magnitude: fixed cost a launch + bytes over the slower side's rate. In
/// real-time mode only the bytes count, and they take what they take.
public struct GPUCostModel: Sendable, Hashable {
  /// From a doorbell to the first method. SOURCE: none published; a PCIe round trip or two.
  public var fetchLatency: UInt64 = 700
  /// From a method to the first byte of a copy. SOURCE: none published; such that a 4 KiB copy
  /// takes microseconds, as the 2–4 GB/s of 4 KiB DMA moves in LKML 2603.2/06223 suggest.
  public var launchLatency: UInt64 = 1_000
  /// Host memory over PCIe 3.0 x16. SOURCE: intel-xe list, June 2025, items 085564 and 085745:
  /// about 16 GB/s for one 2 MiB copy.
  public var systemRate: UInt64 = 16_000
  /// Within VRAM. SOURCE: Tesla P100 data sheet, 732 GB/s, halved since a copy reads and writes.
  public var vramRate: UInt64 = 366_000
  /// From an interrupt's cause to the handler's first instruction. SOURCE: none published.
  public var interruptLatency: UInt64 = 1_500
  /// From a runlist's submission to its being in force. SOURCE: none published.
  public var runlistLatency: UInt64 = 2_000
  /// From a translation fault to its packet in the buffer. SOURCE: checks of peers 4.2, at least
  /// 10 µs for a whole Pascal fault, of which the larger part is the driver's.
  public var faultLatency: UInt64 = 2_000
  /// One cycle of a copy engine's microcontroller. SOURCE: none published; with 16 bytes a cycle,
  /// the copy unit then moves 8 GB/s, what PCIe 2.0 x16 carries.
  public var falconCycle: UInt64 = 2
  /// One access of a running kernel. SOURCE: none published.
  public var accessLatency: UInt64 = 500

  public init() {}

  /// No latency at all and endless rates: for tests of order rather than of time.
  public static var zero: GPUCostModel {
    var cost = GPUCostModel()
    cost.fetchLatency = 0
    cost.launchLatency = 0
    cost.systemRate = .max
    cost.vramRate = .max
    cost.interruptLatency = 0
    cost.runlistLatency = 0
    cost.faultLatency = 0
    cost.accessLatency = 0
    cost.falconCycle = 0
    return cost
  }
}

/// What the device does when an armed failure of `gpu.*` strikes.
public struct GPUFaultModel: Sendable, Hashable {
  /// How long `gpu.fence_late` holds a release back: more than the driver's 15 s.
  public var lateFence: UInt64 = 20_000_000_000
  /// Added to the payload by `gpu.fence_wrong_value`: a value that was never emitted.
  public var wrongFenceOffset: UInt32 = 0x1000_0000
  /// How long before its store `gpu.irq_early` sends the interrupt.
  public var earlyInterruptLead: UInt64 = 20_000
  /// Messages of one `gpu.irq_storm`, a microsecond apart.
  public var stormMessages = 100
  /// The code that `gpu.copy_error` reports (`LaunchError`).
  public var launchError: UInt32 = 9

  public init() {}
}
