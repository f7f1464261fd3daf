package import Base
import DMAFence
import DeviceSeam
public import KernelRuntime
public import LinuxMM
import NVHardware

/// The driver's view of one GPU: the units that bring-up made, and the channel that moves memory
/// (`struct nouveau_drm`).
///
/// Made by ``probe(_:_:_:options:firmware:)``; ends with ``shutdown()``.
public final class NouveauDevice {
  public let kernel: Kernel
  public let mm: MemoryManager
  public let options: DriverOptions
  package let device: NVKMDevice
  package let topology: Topology
  package let vram: VRAMAllocator
  package let instanceMemory: InstanceMemory
  package let mmu: MMU
  package let bar1: BAR1
  package let interrupts: InterruptController
  package let fifo: FIFO
  package let copyEngines: [CopyEngineUnit]
  package let buffers: BufferManager
  package let fenceStorage: FenceStorage
  /// The address space of the driver's own channels.
  package let kernelSpace: GPUAddressSpace
  /// The privileged channel on a copy engine's runlist that moves memory (`drm->ttm.chan`).
  package let copyChannel: Channel
  /// VRAM in bytes, reserved parts included.
  public let vramBytes: UInt64
  /// Suspend, resume and unbinding come one after the other, whoever asks for them.
  /// Kernel: device_lock (struct device.mutex)
  let stateLock: SleepingLock
  package internal(set) var state = State.running
  /// The device was woken, but a client or a buffer wasn't.
  var hasSleepers = false
  package internal(set) var faultBuffer: FaultBuffer?
  var clients: [any DeviceClient] = []
  let teardown: TeardownStack
  let function: PCIFunction
  let flushPage: CoherentBuffer

  /// Where the device is in its life.
  package enum State: Sendable, Hashable {
    case running
    case suspended
    case shutDown
  }

  init(_ units: Units, _ channel: Channel, _ teardown: TeardownStack) {
    kernel = units.kernel
    mm = units.mm
    options = units.options
    device = units.device
    topology = units.topology
    vram = units.vram
    instanceMemory = units.instanceMemory
    mmu = units.mmu
    bar1 = units.bar1
    interrupts = units.interrupts
    fifo = units.fifo
    copyEngines = units.copyEngines
    buffers = units.buffers
    fenceStorage = units.fenceStorage
    kernelSpace = units.kernelSpace
    vramBytes = units.layout.total
    function = units.function
    flushPage = units.flushPage
    copyChannel = channel
    stateLock = SleepingLock(units.kernel, .deviceState)
    self.teardown = teardown
  }

  /// The chip's name, such as `GP100`.
  public var chipName: String { device.chip.name }
  /// The device fell off the bus; only ``shutdown()`` makes sense now.
  public var isLost: Bool { device.isLost }
  /// What the driver told the kernel's log.
  public var logLines: [String] { device.log.lines }
  package var chip: any ChipProfile { device.chip }
  package var copyMethods: any CopyMethods { device.chip.copyMethods }

  /// Has `client` take part in suspend, resume and shutdown.
  package func register(_ client: any DeviceClient) { clients.append(client) }

  package func unregister(_ client: any DeviceClient) {
    clients.removeAll { $0 === client }
  }

  /// A channel of its own, privileged or not, on `runlist` (a copy engine's by default).
  ///
  /// Kernel: nouveau_channel_new (nouveau_chan.c)
  package func makeChannel(
    _ name: String, space: GPUAddressSpace, isPrivileged: Bool = false, runlist: Runlist? = nil
  ) async throws(KernelError) -> Channel {
    guard state == .running, !device.isLost, let list = runlist ?? fifo.copyRunlist else {
      throw .ENODEV
    }
    return try await Channel.make(
      fifo, list, name: name, space: space, isPrivileged: isPrivileged, options: options,
      storage: fenceStorage, bar1: bar1)
  }

  /// Opens the replayable fault buffer; `EBUSY` when it is open. `handler` runs in atomic context.
  ///
  /// Kernel: nouveau_svm_fault_buffer_ctor, nouveau_svm_fault_buffer_init (nouveau_svm.c)
  package func openFaultBuffer(_ handler: @escaping () -> Void) async throws(KernelError)
    -> FaultBuffer
  {
    guard faultBuffer == nil else { throw .EBUSY }
    guard state == .running, !device.isLost else { throw .ENODEV }
    let made = try await FaultBuffer(device, mmu, interrupts, handler: handler)
    faultBuffer = made
    return made
  }

  /// Kernel: nouveau_svm_fault_buffer_dtor (nouveau_svm.c)
  package func closeFaultBuffer() async {
    await faultBuffer?.destroy()
    faultBuffer = nil
  }

  /// What the device holds, for audits: all zero after ``shutdown()``.
  package var usage: DeviceUsage {
    DeviceUsage(
      vramBytes: vram.bytesInUse, vramAllocations: vram.allocationCount,
      instanceObjects: instanceMemory.objectCount, buffers: buffers.buffers.count,
      addressSpaces: mmu.spaceCount, channels: fifo.liveChannels.count,
      coherentBytes: device.pci.dma.coherentBytesInUse,
      mappedPages: device.pci.dma.mappedPages)
  }
}

/// What a device holds, by kind.
package struct DeviceUsage: Hashable, Sendable {
  package var vramBytes: UInt64 = 0
  package var vramAllocations = 0
  package var instanceObjects = 0
  package var buffers = 0
  package var addressSpaces = 0
  package var channels = 0
  package var coherentBytes = 0
  package var mappedPages: UInt64 = 0

  package init(
    vramBytes: UInt64 = 0, vramAllocations: Int = 0, instanceObjects: Int = 0, buffers: Int = 0,
    addressSpaces: Int = 0, channels: Int = 0, coherentBytes: Int = 0, mappedPages: UInt64 = 0
  ) {
    self.vramBytes = vramBytes
    self.vramAllocations = vramAllocations
    self.instanceObjects = instanceObjects
    self.buffers = buffers
    self.addressSpaces = addressSpaces
    self.channels = channels
    self.coherentBytes = coherentBytes
    self.mappedPages = mappedPages
  }
}
