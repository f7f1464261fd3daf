import Base
import DeviceSeam
import KernelRuntime
import NVHardware

/// What all units of one GPU share: its memory, its bus, its clock, its state of health.
///
/// Units refer to the board and to units below them; nothing refers upwards, so that a GPU goes
/// when its owner lets go.
final class Board {
  let kernel: Kernel
  let configuration: GPUConfiguration
  let chip: any ChipProfile
  /// Of the chip, kept at hand for decoding.
  let hostClass: UInt32
  let copyClass: UInt32
  let channelCount: UInt32
  let faults: GPUFaultModel
  let dma: DMAAddressSpace
  let vram: MappedMemory
  let pci: ConfigurationSpace
  let interrupts: InterruptController
  /// Durations, all zero in real-time mode, where things take what they take.
  let cost: GPUCostModel
  /// The function no longer answers.
  var isLost = false
  var unimplemented: [UnimplementedAccess] = []
  /// Accesses to host memory that the bus refused.
  var dmaFaults: [BusFault] = []
  /// Pages of VRAM with an uncorrectable error, by address, sorted.
  var poisonedPages: [UInt64] = []
  /// Told when an engine wrote a semaphore, so that acquires look again at once.
  var semaphoreWritten: () -> Void = {}
  /// Added to the kernel's clock: what the driver set PTIMER to.
  var timeOffset: UInt64 = 0

  init(
    _ kernel: Kernel, _ configuration: GPUConfiguration, dma: DMAAddressSpace,
    line: InterruptLine, from supply: MemorySupply?
  ) throws(KernelError) {
    guard configuration.vramBytes > 0, configuration.vramBytes % (1 << 20) == 0,
      configuration.vramBytes <= 1 << 37, let count = Int(exactly: configuration.vramBytes)
    else { throw .EINVAL }
    let bar1 = configuration.bar1Bytes
    guard bar1 >= 64 << 20, bar1 & (bar1 - 1) == 0 else { throw .EINVAL }
    self.kernel = kernel
    self.configuration = configuration
    chip = configuration.chip
    hostClass = chip.hostClass
    copyClass = chip.copyClass
    channelCount = chip.channelCount
    faults = configuration.faults
    self.dma = dma
    vram = try MappedMemory(count: count, from: supply)
    pci = ConfigurationSpace(configuration)
    cost = kernel.mode == .simulated ? configuration.cost : .zero
    interrupts = InterruptController(
      kernel, pci, line, latency: cost.interruptLatency, faults: configuration.faults)
  }

  /// The clock of time stamps (PTIMER): steps of 32 ns.
  var timestamp: UInt64 { (kernel.now &+ timeOffset) & ~31 }

  /// Dma mappings taken back so far; a copy under way is checked again when it moved.
  @inline(__always)
  var unmapCount: UInt64 { dma.totalMaps &- dma.mappedPages }

  /// Notes for strategies that leave out equivalent orders that the running step used the device.
  @inline(__always)
  func touch() { kernel.touch(.data(0x6770_7500)) }

  func reportUnimplemented(
    _ kind: UnimplementedAccess.Kind, _ address: UInt64, _ value: UInt64 = 0, _ name: String = ""
  ) {
    let access = UnimplementedAccess(kind: kind, address: address, value: value, name: name)
    unimplemented.append(access)
    kernel.trace.record(.unimplemented, address, value)
  }
}

extension TraceKind {
  static let unimplemented = TraceKind("gpu.unimplemented", ["address", "value"])
  static let busFault = TraceKind("gpu.bus_fault", ["address", "write"])
  static let copy = TraceKind("gpu.copy", ["chid", "bytes", "source", "target"], shape: .span)
  static let copyError = TraceKind("gpu.launcherr", ["chid", "code"])
  static let hang = TraceKind("gpu.hang", ["chid"])
  static let release = TraceKind("gpu.semaphore_release", ["chid", "address", "value"])
  static let acquire = TraceKind("gpu.semaphore_acquire", ["chid", "address", "value"])
  static let nonStall = TraceKind("gpu.non_stall_interrupt", ["chid"])
  static let hostError = TraceKind("gpu.pbdma_error", ["chid", "intr_0", "intr_1", "method"])
  static let schedule = TraceKind("gpu.channel_switch", ["chid"])
  static let mmuFault = TraceKind("gpu.mmu_fault", ["engine", "address", "type", "access"])
  static let replayable = TraceKind("gpu.replayable_fault", ["address", "type", "access", "put"])
  static let invalidate = TraceKind("gpu.tlb_invalidate", ["pdb", "replay"])
  static let message = TraceKind("gpu.msi", ["pending_0", "pending_1"])
  static let lost = TraceKind("gpu.device_lost")
}
