public import Base
import DMAFence
import DeviceSeam
public import EmulatedGPU
public import KernelRuntime
public import LinuxMM
public import Nouveau

/// One computer: a kernel runtime, memory, a GPU on a bus or several, and the driver bound to each.
///
/// The only place where driver, memory management and GPU meet. A machine is one value on one
/// thread; hundreds may run side by side. Its state is plain Swift, to be looked at between runs.
public final class Machine {
  public let configuration: MachineConfiguration
  public let kernel: Kernel
  public let mm: MemoryManager
  /// The first GPU; in most machines the only one.
  public var gpu: EmulatedGPU { gpus[0].gpu }
  /// Every GPU, in the order of the configuration.
  public let gpus: [MachineGPU]
  /// What ties the drivers of several GPUs together; nil in a machine with one.
  private let peers: PeerGroup?
  private let fenceContexts: FenceContexts?
  /// The first GPU's driver; nil before ``boot()`` and after ``shutdown()``.
  public var driver: NouveauDevice? { gpus[0].driver }
  /// The first GPU's memory and the processes that use it; nil with the driver.
  public var svm: SVM? { gpus[0].svm }
  /// Device memory of drivers that left pages behind.
  private var unbound: [SVM] = []
  /// Boards that were taken out; timers of theirs may still be pending.
  private var removed: [EmulatedGPU] = []
  /// The group that all processes are charged to; nil without a limit.
  public let group: MemoryGroup?
  /// In order of creation, without those that have exited.
  public private(set) var processes: [UserProcess] = []

  /// Builds the hardware; the driver is bound by ``boot()``.
  ///
  /// `EINVAL` for sizes that no machine has, `ENOMEM` when the host can't map them.
  public init(_ configuration: MachineConfiguration = MachineConfiguration()) throws(KernelError) {
    guard configuration.ramBytes > 0, configuration.ramBytes % UInt64(PageSize.bytes) == 0,
      let ramBytes = Int(exactly: configuration.ramBytes),
      configuration.swapBytes % UInt64(PageSize.bytes) == 0,
      let swapPages = Int(exactly: configuration.swapBytes >> UInt64(PageSize.shift))
    else { throw .EINVAL }
    self.configuration = configuration
    let trace = configuration.trace ?? Trace(isOn: configuration.isTracing)
    kernel = Kernel(
      mode: configuration.mode, choices: configuration.choices, failures: configuration.failures,
      trace: trace)
    if let limit = configuration.stepLimit { kernel.stepLimit = limit }
    // In real time worker threads write memory too, and the marks of a supply are one thread's.
    let supply = configuration.mode == .simulated ? configuration.hostMemory : nil
    var memory = MemoryConfiguration(
      ramBytes: ramBytes, devicePhysicalBytes: configuration.devicePhysicalBytes,
      hugePages: configuration.hugePages, swapPages: swapPages)
    memory.killsWhenOutOfMemory = configuration.killsWhenOutOfMemory
    mm = try MemoryManager(kernel, memory, from: supply)
    if let bytes = configuration.memoryLimit {
      let pages = Int(exactly: bytes >> UInt64(PageSize.shift))
      group = try mm.createGroup("processes", limit: pages)
    } else {
      group = nil
    }
    gpus = try Self.makeGPUs(configuration, kernel, mm, supply)
    peers = gpus.count > 1 ? PeerGroup() : nil
    fenceContexts = gpus.count > 1 ? FenceContexts(kernel) : nil
    if configuration.peerAccess { connectPeers() }
  }

  /// Gives each GPU a path to the others' memory.
  private func connectPeers() {
    for slot in gpus {
      for other in gpus where other !== slot {
        if let window = other.gpu.peerWindow { slot.gpu.dma.connect(window) }
      }
    }
  }

  private static func makeGPUs(
    _ configuration: MachineConfiguration, _ kernel: Kernel, _ mm: MemoryManager,
    _ supply: MemorySupply?
  ) throws(KernelError) -> [MachineGPU] {
    var made: [MachineGPU] = []
    for (index, gpu) in configuration.allGPUs.enumerated() {
      let dma = try DMAAddressSpace(kernel, ram: mm.ram, from: supply)
      made.append(
        MachineGPU(index, try EmulatedGPU(kernel, configuration: gpu, dma: dma, from: supply)))
    }
    return made
  }

  // A machine may go as it stands, as under the explorer after each run.
  deinit { cut() }

  /// Takes the machine apart as it stands, because tasks of it sleep for ever: what their frames
  /// hold can't be freed, but the host's memory goes back, which is nearly all of a machine.
  /// Nothing may be used afterwards.
  package func abandon() {
    cut()
    processes = []
    unbound = []
    for slot in gpus {
      slot.driver = nil
      slot.svm = nil
      slot.gpu.vram.discard()
    }
    mm.discard()
  }

  /// Cuts the references by which the parts of a machine keep each other alive.
  private func cut() {
    for svm in unbound { svm.abandon() }
    for slot in gpus {
      slot.svm?.abandon()
      slot.driver?.abandon()
      slot.gpu.interrupt.free()
      slot.gpu.dma.disconnect()
    }
    for board in removed { board.dma.disconnect() }
    mm.abandon()
    kernel.abandon()
  }

  /// Runs `body` as a task of this machine, on the calling thread, until it returns.
  public func run<T>(_ body: @escaping (Machine) async -> T) throws(RunFailure) -> T {
    try kernel.run { [unowned self] in await body(self) }
  }

  /// As ``run(_:)`` for a body that throws a kernel error.
  public func runThrowing<T>(
    _ body: @escaping (Machine) async throws(KernelError) -> T
  ) throws(MachineFailure) -> T {
    let result: Result<T, KernelError>
    do throws(RunFailure) {
      result = try kernel.runThrowing { [unowned self] () async throws(KernelError) in
        try await body(self)
      }
    } catch {
      throw .run(error)
    }
    switch result {
    case .success(let value): return value
    case .failure(let error): throw .kernel(error)
    }
  }

  /// Brings each GPU up that has no driver and binds the driver to it. On an error nothing stays
  /// bound that wasn't; `EBUSY` when there is nothing to bind.
  public func boot() async throws(KernelError) {
    guard gpus.contains(where: { $0.driver == nil }) else { throw .EBUSY }
    var bound: [Int] = []
    for slot in gpus where slot.driver == nil {
      do throws(KernelError) {
        try await boot(gpu: slot.index)
        bound.append(slot.index)
      } catch {
        for index in bound.reversed() { await unbindDriver(gpu: index) }
        throw error
      }
    }
  }

  /// Brings one GPU up and binds the driver to it. On an error it stays unbound.
  public func boot(gpu index: Int) async throws(KernelError) {
    guard gpus.indices.contains(index) else { throw .ENODEV }
    let slot = gpus[index]
    guard slot.driver == nil else { throw .EBUSY }
    let driver = try await NouveauDevice.probe(
      kernel, mm, slot.gpu, options: options(of: index),
      firmware: configuration.firmware ?? FirmwareFolder.ofProject())
    do throws(KernelError) {
      slot.svm = try await SVM.start(on: driver, policy: configuration.policy)
      slot.driver = driver
    } catch {
      await driver.shutdown()
      throw error
    }
  }

  private func options(of index: Int) -> DriverOptions {
    guard let peers else { return configuration.driver }
    var options = configuration.driver
    options.fenceContexts = options.fenceContexts ?? fenceContexts
    options.peers = peers
    if index > 0 { options.label = MachineConfiguration.label(of: index) }
    return options
  }

  /// A new process that uses the device.
  public func makeProcess(_ name: String) async throws(KernelError) -> UserProcess {
    let space = try mm.createAddressSpace(name)
    if let group { space.join(group) }
    return try await adopt(space, name)
  }

  /// Makes a process of an address space, which ends when the device can't be opened.
  private func adopt(
    _ space: AddressSpace, _ name: String
  ) async throws(KernelError) -> UserProcess {
    let process = UserProcess(self, name, space)
    for slot in gpus {
      guard let svm = slot.svm else { continue }
      do throws(KernelError) {
        try await process.open(svm)
      } catch {
        await process.close()
        await space.exit()
        throw error
      }
    }
    processes.append(process)
    return process
  }

  /// A copy of a process, with the device open while the driver is bound (`fork`).
  ///
  /// Errors as ``LinuxMM/AddressSpace/fork(_:)`` and ``makeProcess(_:)``: there is no child then.
  public func fork(_ parent: UserProcess, _ name: String) async throws(KernelError) -> UserProcess {
    try await adopt(try await parent.space.fork(name), name)
  }

  func forget(_ process: UserProcess) { processes.removeAll { $0 === process } }

  /// Unbinds the driver from every GPU: everything on the devices comes back first. Processes live
  /// on.
  public func unbindDriver() async {
    for slot in gpus { await unbindDriver(gpu: slot.index) }
  }

  /// Unbinds the driver from one GPU: everything on it comes back first.
  public func unbindDriver(gpu index: Int) async {
    guard gpus.indices.contains(index), let driver = gpus[index].driver else { return }
    let slot = gpus[index]
    await driver.shutdown()
    for process in processes { process.driverIsGone(gpu: index) }
    // Entries of page tables still lead to a driver whose pages could not come back: a fault there
    // must end in a signal, and the audit names the entries.
    if let svm = slot.svm, svm.devicePagesInUse > 0 { unbound.append(svm) }
    slot.svm = nil
    slot.driver = nil
  }

  /// Puts a new board of the same kind, with empty memory, into the slot of one that is lost or was
  /// taken out; ``boot(gpu:)`` then binds the driver to it. `EBUSY` while a driver is bound,
  /// `ENODEV` without such a slot, `ENOMEM` when the host has no memory for it.
  public func replaceBoard(gpu index: Int = 0) throws(KernelError) {
    guard gpus.indices.contains(index) else { throw .ENODEV }
    let slot = gpus[index]
    guard slot.driver == nil else { throw .EBUSY }
    let dma = try DMAAddressSpace(kernel, ram: mm.ram)
    let board = try EmulatedGPU(
      kernel, configuration: configuration.allGPUs[index], dma: dma)
    slot.gpu.loseDevice()
    removed.append(slot.gpu)
    slot.gpu = board
    if configuration.peerAccess { connectPeers() }
  }

  /// Ends every process, then unbinds the driver.
  public func shutdown() async {
    for process in processes { await process.exit() }
    await unbindDriver()
  }
}

/// Why a run on a machine gave no result.
public enum MachineFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// The body threw.
  case kernel(KernelError)
  /// The run came to no end.
  case run(RunFailure)

  public var description: String {
    switch self {
    case .kernel(let error): error.description
    case .run(let failure): failure.description
    }
  }
}
