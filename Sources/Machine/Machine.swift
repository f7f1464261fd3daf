public import Base
import DeviceSeam
public import EmulatedGPU
public import KernelRuntime
public import LinuxMM
public import Nouveau

/// One computer: a kernel runtime, memory, a GPU on a bus, and the driver bound to it.
///
/// The only place where driver, memory management and GPU meet. A machine is one value on one
/// thread; hundreds may run side by side. Its state is plain Swift, to be looked at between runs.
public final class Machine {
  public let configuration: MachineConfiguration
  public let kernel: Kernel
  public let mm: MemoryManager
  public let gpu: EmulatedGPU
  /// The driver; nil before ``boot()`` and after ``shutdown()``.
  public private(set) var driver: NouveauDevice?
  /// Device memory and the processes that use it; nil with the driver.
  public private(set) var svm: SVM?
  /// Device memory of drivers that left pages behind.
  private var unbound: [SVM] = []
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
    mm = try MemoryManager(
      kernel,
      MemoryConfiguration(
        ramBytes: ramBytes, devicePhysicalBytes: configuration.gpu.vramBytes + (64 << 20),
        hugePages: configuration.hugePages, swapPages: swapPages), from: supply)
    let dma = try DMAAddressSpace(kernel, ram: mm.ram, from: supply)
    gpu = try EmulatedGPU(kernel, configuration: configuration.gpu, dma: dma, from: supply)
  }

  deinit {
    // A machine may go as it stands, as under the explorer after each run.
    for svm in unbound { svm.abandon() }
    svm?.abandon()
    driver?.abandon()
    gpu.interrupt.free()
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

  /// Brings the GPU up and binds the driver to it. On an error nothing stays bound.
  public func boot() async throws(KernelError) {
    guard driver == nil else { throw .EBUSY }
    let driver = try await NouveauDevice.probe(
      kernel, mm, gpu, options: configuration.driver,
      firmware: configuration.firmware ?? FirmwareFolder.ofProject())
    do throws(KernelError) {
      svm = try await SVM.start(on: driver, policy: configuration.policy)
      self.driver = driver
    } catch {
      await driver.shutdown()
      throw error
    }
  }

  /// A new process that uses the device.
  public func makeProcess(_ name: String) async throws(KernelError) -> UserProcess {
    try await adopt(try mm.createAddressSpace(name), name)
  }

  /// Makes a process of an address space, which ends when the device can't be opened.
  private func adopt(
    _ space: AddressSpace, _ name: String
  ) async throws(KernelError) -> UserProcess {
    let process = UserProcess(self, name, space)
    if let svm {
      do throws(KernelError) {
        try await process.open(svm)
      } catch {
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

  /// Unbinds the driver: everything on the device comes back first. Processes live on.
  public func unbindDriver() async {
    guard let driver else { return }
    await driver.shutdown()
    for process in processes { process.driverIsGone() }
    // Entries of page tables still lead to a driver whose pages could not come back: a fault there
    // must end in a signal, and the audit names the entries.
    if let svm, svm.devicePagesInUse > 0 { unbound.append(svm) }
    svm = nil
    self.driver = nil
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
