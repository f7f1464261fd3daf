public import Base
public import DeviceSeam
public import EmulatedGPU
public import KernelRuntime
public import LinuxMM
public import Nouveau

/// What a machine is made of. Everything has a default; nothing costs memory until it is touched.
public struct MachineConfiguration {
  /// System memory in bytes, a multiple of the page size.
  public var ramBytes: UInt64 = 256 << 20
  /// Swap space in bytes, a multiple of the page size; none, and nothing is swapped out.
  public var swapBytes: UInt64 = 0
  /// What all processes together may have, in RAM and on devices, in bytes (`memory.max`); nil, and
  /// no page is charged to anybody.
  public var memoryLimit: UInt64?
  /// Whether a process is killed when memory runs out and nothing can be reclaimed; without, the
  /// access that found no memory fails.
  public var killsWhenOutOfMemory = false
  /// When faults use huge pages.
  public var hugePages = HugePagePolicy.never
  /// The GPU: chip, VRAM, costs.
  public var gpu = GPUConfiguration()
  /// Further GPUs; the first of them is number 1. Each gets a bus address and a label of its own.
  public var moreGPUs: [GPUConfiguration] = []
  /// Whether the bus has a path from each GPU to the others' memory.
  public var peerAccess = true
  /// The driver's parameters.
  public var driver = DriverOptions()
  /// Where the driver finds firmware images; nil for the project's own folder.
  public var firmware: (any FirmwareStore)?
  /// Fault-around, batch size and the like.
  public var policy = DmemPolicy()
  public var mode = Kernel.Mode.simulated
  /// Where order and random draws come from.
  public var choices: any Choices = FIFOChoices()
  /// Keeps the trace.
  public var isTracing = false
  /// A trace of the caller's, with its own observer; nil for a fresh one as ``isTracing`` says.
  public var trace: Trace?
  /// Bounds the steps of one run; nil for the kernel's own bound.
  public var stepLimit: UInt64?
  /// Failures that are armed before the machine boots.
  public var failures = FailurePlan()

  /// Host memory that the machines of one thread use one after the other; nil for mappings of its
  /// own. A machine in real time takes none.
  public var hostMemory: MemorySupply?

  public init() {}

  /// Every GPU with what tells it from the others.
  var allGPUs: [GPUConfiguration] {
    [gpu]
      + moreGPUs.enumerated().map { offset, more in
        var more = more
        more.label = Self.label(of: offset + 1)
        if more.busAddress == gpu.busAddress { more.busAddress = "0000:0\(offset + 2):00.0" }
        return more
      }
  }

  /// What stands before the names of a further GPU's engines and tasks.
  static func label(of index: Int) -> String { "gpu\(index)" }

  /// Room for the `struct page`s of every GPU's memory.
  var devicePhysicalBytes: UInt64 {
    moreGPUs.reduce(gpu.vramBytes + (64 << 20)) { $0 + $1.vramBytes + (64 << 20) }
  }

  /// The smallest machine that migrates a page: 1 MiB of RAM and room for one chunk.
  public static var tiny: MachineConfiguration {
    var configuration = MachineConfiguration()
    configuration.ramBytes = 1 << 20
    configuration.gpu.vramBytes = 16 << 20
    configuration.driver.channels = 2
    configuration.driver.ringEntries = 16
    configuration.driver.pushBytes = 32 << 10
    return configuration
  }
}
