public import Base
public import DeviceSeam
public import KernelRuntime
import NVHardware

/// A GPU that exists in memory: a PCI function with registers, VRAM, channels and copy engines.
///
/// A driver reaches it through the seam (``PCIDevice``) only. Whoever builds a machine around it
/// can also look inside, break it, and run accesses as a kernel on the GPU would make them.
public final class EmulatedGPU: PCIDevice {
  let board: Board
  let mmu: MMU
  let reports: FaultReports
  let hostInterrupts: HostInterrupts
  let host: PFIFO
  let timer: PTimer
  /// Copy engines with fixed functions.
  let engines: [CopyEngine]
  /// Copy engines that run microcode.
  let falcons: [FalconEngine]
  let bar1: BarWindow
  let bar2: BarWindow
  let faultBuffer: FaultBuffer
  let parking: ParkedAccesses
  /// The words of PTOP's device information.
  let topology: [UInt32]
  var storage = StorageRegisters()
  var unitEnable: UInt32 = ~0
  var invalidation = InvalidationRegisters()
  var busInterrupt: (status: UInt32, enable: UInt32) = (0, 0)

  public let busAddress: String
  public let interrupt: InterruptLine
  public var dma: DMAAddressSpace { board.dma }
  /// BAR0.
  public private(set) lazy var registers: any RegisterWindow = RegisterFile(self)
  /// BAR1.
  public private(set) lazy var aperture: (any ApertureWindow)? = ApertureBAR1(self)
  /// BAR1 for other devices of the bus.
  public private(set) lazy var peerWindow: (any PeerWindow)? = PeerBAR1(board, bar1)

  /// - Parameters:
  ///   - dma: the bus through which alone the GPU reaches host memory.
  ///   - supply: where VRAM comes from; nil for a mapping of its own.
  /// - Throws: `EINVAL` for sizes that no board has, `ENOMEM` when VRAM can't be mapped.
  public init(
    _ kernel: Kernel, configuration: GPUConfiguration = GPUConfiguration(), dma: DMAAddressSpace,
    from supply: MemorySupply? = nil
  ) throws(KernelError) {
    busAddress = configuration.busAddress
    interrupt = InterruptLine(kernel, configuration.label.isEmpty ? "gpu" : configuration.label)
    let board = try Board(kernel, configuration, dma: dma, line: interrupt, from: supply)
    let mmu = MMU(board)
    let interrupts = HostInterrupts(board)
    let reports = FaultReports(board, interrupts)
    var engines: [CopyEngine] = []
    var falcons: [FalconEngine] = []
    var pbdmas: [PBDMA] = []
    for (index, info) in configuration.chip.engines.enumerated() {
      var engine: (any HostEngine)?
      switch info.kind {
      case .graphics: break
      case .copy(let instance):
        let made = CopyEngine(board, mmu, reports, interrupts, info, instance: instance)
        engines.append(made)
        engine = made
      case .falconCopy(let instance):
        let made = FalconEngine(board, mmu, reports, interrupts, info, instance: instance)
        falcons.append(made)
        engine = made
      }
      pbdmas.append(
        PBDMA(board, mmu, reports, interrupts, index: UInt32(index), info, engine))
    }
    topology = configuration.chip.engines.flatMap(\.topology.words)
    self.board = board
    self.mmu = mmu
    self.reports = reports
    hostInterrupts = interrupts
    self.engines = engines
    self.falcons = falcons
    host = PFIFO(board, mmu, interrupts, reports, pbdmas)
    timer = PTimer(board)
    bar1 = BarWindow(board, mmu, reports, unit: NV_PFAULT.MMU_ENG_ID_BAR1)
    bar2 = BarWindow(board, mmu, reports, unit: NV_PFAULT.MMU_ENG_ID_BAR2)
    faultBuffer = FaultBuffer(board, bar2: bar2)
    parking = ParkedAccesses(board, reports, faultBuffer)
    board.semaphoreWritten = { [unowned host] in host.semaphoreWritten() }
    mmu.onReplay = { [unowned parking] in parking.replay($0, $1) }
  }

  deinit {
    // Steps that are still due find nothing to do.
    host.retire()
    timer.retire()
    for engine in hostEngines { engine.retire() }
  }

  /// Engines of both kinds.
  var hostEngines: [any HostEngine] { engines + falcons }

  // MARK: configuration space

  public func readConfiguration(at offset: Int) -> UInt32 {
    guard !board.isLost else { return ~0 }
    guard offset & 3 == 0, let word = board.pci.read(UInt32(offset)) else {
      board.reportUnimplemented(.configurationRead, UInt64(offset))
      return 0
    }
    return word
  }

  public func writeConfiguration(_ value: UInt32, at offset: Int) {
    guard !board.isLost else { return }
    guard offset & 3 == 0, board.pci.write(value, UInt32(offset)) else {
      board.reportUnimplemented(.configurationWrite, UInt64(offset), UInt64(value))
      return
    }
    if offset == Int(NV_XVE.CYA_2) { board.interrupts.rearm() }
  }
}
