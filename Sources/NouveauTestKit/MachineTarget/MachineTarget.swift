public import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
public import Machine
import Nouveau

/// The project's own machine under scenarios: the driver on the emulated GPU over the model of mm.
public final class MachineTarget {
  public let machine: Machine
  /// By their names in the scenario, in order of creation.
  var processes: [(name: String, process: UserProcess)] = []
  var mappings: [(name: String, place: MappingPlace)] = []
  /// Where moves that are under way go to; two of one process must not meet.
  var moveTargets: [MappingPlace] = []
  var pins: [(space: AddressSpace, pages: PinnedPages)?] = []
  var locks: [PFN?] = []
  /// The driver's counts when it was unbound, by GPU.
  var lastCounters: [DmemCounters]

  /// Where a mapping lies.
  struct MappingPlace {
    let process: UserProcess
    var range: VirtualRange

    var space: AddressSpace { process.space }

    func address(page: Int) -> VirtualAddress { range.start + page * PageSize.bytes }

    func range(_ pages: PageRange) -> VirtualRange {
      VirtualRange(start: address(page: pages.first), pages: pages.count)
    }
  }

  public init(_ request: TargetRequest) throws(KernelError) {
    machine = try Machine(try Self.configuration(request))
    lastCounters = [DmemCounters](repeating: DmemCounters(), count: machine.gpus.count)
  }

  private static func configuration(_ request: TargetRequest) throws(KernelError)
    -> MachineConfiguration
  {
    let plan = request.plan
    var configuration = MachineConfiguration()
    configuration.ramBytes = plan.ramBytes
    guard let chip = GPUProfiles.chip(named: plan.profile) else { throw .EINVAL }
    configuration.gpu.chip = chip
    configuration.gpu.vramBytes = plan.vramBytes
    configuration.swapBytes = plan.swapBytes
    configuration.memoryLimit = plan.memoryLimit
    configuration.killsWhenOutOfMemory = plan.killsWhenOutOfMemory
    guard let huge = HugePagePolicy(rawValue: plan.hugePages) else { throw .EINVAL }
    configuration.hugePages = huge
    // A scenario has a handful of channels, and every run of it sets all of them up.
    configuration.driver.channels = 16
    configuration.driver.ringEntries = 128
    configuration.driver.pushBytes = 32 << 10
    configuration.mode = plan.isRealTime ? .realTime : .simulated
    configuration.choices = request.makeChoices()
    configuration.isTracing = request.isTracing
    configuration.trace = request.trace
    configuration.hostMemory = request.hostMemory
    if let failures = request.failures { configuration.failures = failures }
    configuration.policy = DmemPolicy(
      faultAround: try policy(plan.policy),
      batchPages: plan.batchPages ?? configuration.policy.batchPages,
      batchesInFlight: configuration.policy.batchesInFlight,
      emptyChunksKept: plan.keptChunks ?? configuration.policy.emptyChunksKept)
    configuration.policy.hugeFolios = plan.hasHugeFolios
    configuration.policy.unifiedWalkTries = plan.unifiedWalkTries
    if plan.gpuCount > 1 { try addGPUs(plan, &configuration) }
    return configuration
  }

  /// The policy by its name in the schema: `single` or `block-N`.
  private static func policy(_ name: String) throws(KernelError) -> any FaultAroundPolicy {
    if name == "single" { return SinglePagePolicy() }
    guard let pages = Int(name.drop { $0 != "-" }.dropFirst()) else { throw .EINVAL }
    return try AlignedBlockPolicy(pages: pages)
  }

  // MARK: places

  /// ESRCH when the process has exited, or its fork failed.
  func process(_ name: String) throws(OperationFailure) -> UserProcess {
    guard let found = processes.first(where: { $0.name == name }) else {
      throw OperationFailure(.ESRCH)
    }
    return found.process
  }

  /// ESRCH when the mapping's process has exited, or its fork failed.
  func place(_ mapping: String) throws(OperationFailure) -> MappingPlace {
    guard let found = mappings.first(where: { $0.name == mapping }) else {
      throw OperationFailure(.ESRCH)
    }
    return found.place
  }

  // MARK: errors

  static func failure(_ error: AccessError) -> OperationFailure {
    switch error {
    case .segv: OperationFailure(.signal(.SIGSEGV, detail: error.description))
    case .sigbus: OperationFailure(.signal(.SIGBUS, detail: error.description))
    case .outOfMemory: OperationFailure(.outOfMemory(detail: error.description))
    }
  }

  /// As the process would learn of it: a cancelled access kills what ran on the GPU.
  static func failure(_ error: DeviceAccessError) -> OperationFailure {
    switch error {
    case .closed, .lost: OperationFailure(.ENODEV)
    case .cancelled: OperationFailure(.EFAULT)
    case .asleep(_, let error): OperationFailure(error)
    case .faulted: OperationFailure(.EIO)
    }
  }

  func calling<T>(_ body: () async throws(KernelError) -> T) async throws(OperationFailure) -> T {
    do throws(KernelError) {
      return try await body()
    } catch {
      throw OperationFailure(error)
    }
  }

  func accessing<T>(_ body: () async throws(AccessError) -> T) async throws(OperationFailure) -> T {
    do throws(AccessError) {
      return try await body()
    } catch {
      throw Self.failure(error)
    }
  }
}
