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
  private var context: SVMContext?

  init(_ machine: Machine, _ name: String, _ space: AddressSpace) {
    self.machine = machine
    self.name = name
    self.space = space
  }

  /// Opens the device, as a process does with its file; ``Machine/makeProcess(_:)`` does this.
  public func open(_ svm: SVM) async throws(KernelError) {
    guard context == nil else { throw .EBUSY }
    context = try await svm.open(space)
  }

  /// Whether the process has the device open.
  public var usesDevice: Bool { context != nil }

  /// Closes the device; pages that live there stay, and come back when the CPU touches them.
  public func close() async {
    await context?.close()
    context = nil
  }

  func driverIsGone() { context = nil }

  /// Ends the process: the device is closed, everything unmapped.
  public func exit() async {
    await close()
    await space.exit()
    machine.forget(self)
  }

  /// Moves what can be moved of a range to the device. `ENODEV` without an open device.
  ///
  /// With `explains`, ``MigrationResult/stayed`` says of each page that stayed why it did.
  public func migrateToDevice(
    _ range: VirtualRange, explains: Bool = false
  ) async throws(KernelError) -> MigrationResult {
    guard let context else { throw .ENODEV }
    return try await context.migrateToDevice(range, explains: explains)
  }

  /// Why the page at `address` would not go to the device now; nil when it could, or without an
  /// open device.
  public func why(_ address: VirtualAddress) -> MigrationReason? { context?.why(address) }

  /// Brings back what of a range lives on the device, as an access of the CPU to each page would.
  /// The pages brought back.
  public func migrateToRAM(_ range: VirtualRange) async throws(KernelError) -> Int {
    guard let context else { throw .ENODEV }
    return try await context.migrateToRAM(range)
  }

  // MARK: what runs on the GPU

  /// Reads through the GPU's translations, as a kernel that runs there would.
  public func deviceLoad(_ address: VirtualAddress, count: Int) async throws(DeviceAccessError)
    -> [UInt8]
  {
    let instance = try instance(address)
    let gpu = machine.gpu
    let (result, bytes) = await watchingFaults {
      await gpu.load(instance: instance, GPUVirtualAddress(address.rawValue), count: count)
    }
    try check(result, address)
    return bytes
  }

  /// Writes through the GPU's translations.
  public func deviceStore(
    _ address: VirtualAddress, _ bytes: [UInt8]
  ) async throws(DeviceAccessError) {
    let instance = try instance(address)
    let gpu = machine.gpu
    let result = await watchingFaults {
      await gpu.store(instance: instance, GPUVirtualAddress(address.rawValue), bytes)
    }
    try check(result, address)
  }

  /// The driver knows that work of the process is on the GPU, since it came through a submission.
  private func watchingFaults<T>(_ body: () async -> T) async -> T {
    guard let svm = machine.svm else { return await body() }
    return await svm.watchingFaults(body)
  }

  /// Adds to the 32-bit word at an aligned address in one step, as an atomic instruction of a
  /// kernel on the GPU; returns the word as it was.
  public func deviceAtomicAdd(
    _ address: VirtualAddress, _ value: UInt32
  ) async throws(DeviceAccessError) -> UInt32 {
    let instance = try instance(address)
    let (result, old) = await machine.gpu.atomicAdd(
      instance: instance, GPUVirtualAddress(address.rawValue), value)
    try check(result, address)
    return old
  }

  private func instance(_ address: VirtualAddress) throws(DeviceAccessError) -> VRAMAddress {
    guard let context else { throw .closed(address) }
    return context.instanceAddress
  }

  private func check(
    _ result: DeviceAccessResult, _ address: VirtualAddress
  ) throws(DeviceAccessError) {
    switch result {
    case .completed: return
    case .cancelled: throw .cancelled(address)
    case .faulted: throw .faulted(address)
    case .lost: throw .lost(address)
    }
  }

  /// What the GPU's page tables say of an address, for expectations: whether it is mapped, and
  /// where to.
  public func deviceTranslation(_ address: VirtualAddress) -> DeviceTranslation {
    context?.translation(of: address) ?? .none
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

  public var description: String {
    switch self {
    case .closed(let address): "the GPU's access to \(address) without an open device"
    case .cancelled(let address): "the GPU's access to \(address) was cancelled"
    case .faulted(let address): "the GPU's access to \(address) faulted for good"
    case .lost(let address): "the GPU's access to \(address) on a lost device"
    }
  }
}
