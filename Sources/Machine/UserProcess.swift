public import Base
import EmulatedGPU
public import LinuxMM
public import Nouveau

/// A process of the modelled machine: an address space for the CPU's tasks and, while the driver is
/// bound, a context on the GPU that uses the same addresses.
public final class UserProcess {
  public let name: String
  /// The CPU's side: map, load, store, pin.
  public let space: AddressSpace
  private unowned let machine: Machine
  /// By the GPU's number; nil where the process has the device not open.
  private var contexts: [SVMContext?]

  init(_ machine: Machine, _ name: String, _ space: AddressSpace) {
    self.machine = machine
    self.name = name
    self.space = space
    contexts = [SVMContext?](repeating: nil, count: machine.gpus.count)
  }

  /// Opens a device, as a process does with its file; ``Machine/makeProcess(_:)`` does this for
  /// each. `EBUSY` when it is open, `ENODEV` for a device that the machine doesn't drive.
  public func open(_ svm: SVM) async throws(KernelError) {
    guard let gpu = machine.gpus.firstIndex(where: { $0.svm === svm }) else { throw .ENODEV }
    guard contexts[gpu] == nil else { throw .EBUSY }
    contexts[gpu] = try await svm.open(space)
  }

  /// Whether the process has a device open.
  public var usesDevice: Bool { contexts.contains { $0 != nil } }

  /// Closes every device; pages that live there stay, and come back when the CPU touches them.
  public func close() async {
    for gpu in contexts.indices {
      let context = contexts[gpu]
      contexts[gpu] = nil
      await context?.close()
    }
  }

  func driverIsGone(gpu: Int) { contexts[gpu] = nil }

  /// `ENODEV` without such a device, or when it isn't open.
  private func context(_ gpu: Int) throws(KernelError) -> SVMContext {
    guard contexts.indices.contains(gpu), let context = contexts[gpu] else { throw .ENODEV }
    return context
  }

  /// Ends the process: the device is closed, everything unmapped.
  public func exit() async {
    await close()
    await space.exit()
    machine.forget(self)
  }

  /// Moves what can be moved of a range to a device. `ENODEV` without an open device.
  ///
  /// What becomes of pages that lie on another GPU says ``DmemPolicy/peers``. With `explains`,
  /// ``MigrationResult/stayed`` says of each page that stayed why it did.
  public func migrateToDevice(
    _ range: VirtualRange, gpu: Int = 0, explains: Bool = false
  ) async throws(KernelError) -> MigrationResult {
    try await context(gpu).migrateToDevice(range, explains: explains)
  }

  /// Why the page at `address` would not go to the device now; nil when it could, or without an
  /// open device.
  public func why(_ address: VirtualAddress, gpu: Int = 0) -> MigrationReason? {
    contexts.indices.contains(gpu) ? contexts[gpu]?.why(address) : nil
  }

  /// Brings back what of a range lives on a device, as an access of the CPU to each page would.
  /// The pages brought back.
  public func migrateToRAM(_ range: VirtualRange, gpu: Int = 0) async throws(KernelError) -> Int {
    try await context(gpu).migrateToRAM(range)
  }

  /// As ``migrateToRAM(_:gpu:)``; the result has the error of what could not be brought back, and
  /// says of each page that stayed why it did.
  public func explainedMigrateToRAM(
    _ range: VirtualRange, gpu: Int = 0
  ) async throws(KernelError) -> MigrationResult {
    try await context(gpu).explainedMigrateToRAM(range)
  }

  // MARK: what runs on the GPU

  /// Reads through a GPU's translations, as a kernel that runs there would.
  public func deviceLoad(_ address: VirtualAddress, count: Int, gpu: Int = 0)
    async throws(DeviceAccessError) -> [UInt8]
  {
    let context = try await submission(address, gpu)
    let device = machine.gpus[gpu].gpu
    let (result, bytes) = await context.run {
      await device.load(
        instance: context.instanceAddress, GPUVirtualAddress(address.rawValue), count: count)
    }
    try check(result, address)
    return bytes
  }

  /// Writes through a GPU's translations.
  public func deviceStore(
    _ address: VirtualAddress, _ bytes: [UInt8], gpu: Int = 0
  ) async throws(DeviceAccessError) {
    let context = try await submission(address, gpu)
    let device = machine.gpus[gpu].gpu
    let result = await context.run {
      await device.store(
        instance: context.instanceAddress, GPUVirtualAddress(address.rawValue), bytes)
    }
    try check(result, address)
  }

  /// Adds to the 32-bit word at an aligned address in one step, as an atomic instruction of a
  /// kernel on the GPU; returns the word as it was.
  public func deviceAtomicAdd(
    _ address: VirtualAddress, _ value: UInt32, gpu: Int = 0
  ) async throws(DeviceAccessError) -> UInt32 {
    let context = try await submission(address, gpu)
    let device = machine.gpus[gpu].gpu
    let (result, old) = await context.run {
      await device.atomicAdd(
        instance: context.instanceAddress, GPUVirtualAddress(address.rawValue), value)
    }
    try check(result, address)
    return old
  }

  /// Work reaches a device that sleeps once it is awake again.
  private func submission(
    _ address: VirtualAddress, _ gpu: Int
  ) async throws(DeviceAccessError) -> SVMContext {
    guard contexts.indices.contains(gpu), let opened = contexts[gpu] else {
      throw .closed(address)
    }
    do throws(KernelError) {
      try await opened.waitUntilAwake()
    } catch {
      throw .asleep(address, error)
    }
    guard contexts[gpu] === opened else { throw .closed(address) }
    return opened
  }

  private func check(
    _ result: DeviceAccessResult, _ address: VirtualAddress
  ) throws(DeviceAccessError) {
    switch result {
    case .completed: return
    case .cancelled, .stopped: throw .cancelled(address)
    case .faulted: throw .faulted(address)
    case .lost: throw .lost(address)
    }
  }

  /// What a GPU's page tables say of an address, for expectations: whether it is mapped, and
  /// where to.
  public func deviceTranslation(_ address: VirtualAddress, gpu: Int = 0) -> DeviceTranslation {
    guard contexts.indices.contains(gpu), let context = contexts[gpu] else { return .none }
    return context.translation(of: address)
  }
}

/// How an access by the GPU failed.
public enum DeviceAccessError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The process has not opened the device.
  case closed(VirtualAddress)
  /// The driver could not allow it: nothing mapped there, or no right.
  case cancelled(VirtualAddress)
  /// The GPU's context is stopped.
  case faulted(VirtualAddress)
  /// The GPU is gone.
  case lost(VirtualAddress)
  /// The GPU sleeps, and the last attempt to wake it failed.
  case asleep(VirtualAddress, KernelError)

  public var description: String {
    switch self {
    case .closed(let address): "the GPU's access to \(address) without an open device"
    case .cancelled(let address): "the GPU's access to \(address) was cancelled"
    case .faulted(let address): "the GPU's access to \(address) faulted for good"
    case .lost(let address): "the GPU's access to \(address) on a lost device"
    case .asleep(let address, let error):
      "the GPU's access to \(address) on a device that could not be woken: \(error)"
    }
  }
}
