import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import NVHardware
import Testing

/// A driver in a few lines: brings the GPU up through registers, makes channels, submits words.
///
/// VRAM below 32 MiB is mapped one to one, so that addresses of VRAM are also virtual ones.
final class Rig {
  let kernel: Kernel
  let ram: MappedMemory
  let dma: DMAAddressSpace
  let gpu: EmulatedGPU
  let tables: PageTables
  /// What PMC showed at each interrupt.
  var interrupts: [(UInt32, UInt32)] = []
  /// Called at each interrupt, before it is acknowledged.
  var onInterrupt: () -> Void = {}

  static let userd: UInt64 = 0x20_0000
  static let runlist: UInt64 = 0x21_0000
  static let semaphore: UInt64 = 0x60_0000
  static let data: UInt64 = 0x100_0000
  static let identityBytes: UInt64 = 32 << 20

  init(
    vram: UInt64 = 64 << 20, cost: GPUCostModel = GPUCostModel(),
    failures: FailurePlan = FailurePlan(), mode: Kernel.Mode = .simulated,
    choices: any Choices = FIFOChoices(), trace: Trace = Trace(),
    chip: any ChipProfile = GP100()
  ) throws {
    kernel = Kernel(mode: mode, choices: choices, failures: failures, trace: trace)
    ram = try MappedMemory(count: 4 << 20)
    dma = try DMAAddressSpace(kernel, ram: ram)
    var configuration = GPUConfiguration(
      chip: chip, vramBytes: vram, bar1Bytes: 64 << 20)
    configuration.cost = cost
    gpu = try EmulatedGPU(kernel, configuration: configuration, dma: dma)
    tables = PageTables(gpu.vram, root: 0x30_0000, heap: 0x31_0000)
    for address in stride(from: 0, to: Self.identityBytes, by: 2 << 20) {
      tables.map(address, NV_MMU_VER2.pte(aperture: 0, address: address), shift: 21)
    }
    bringUp(pbdmas: chip.engines.count)
    try gpu.interrupt.request { [unowned self] in handle() }
  }

  private func bringUp(pbdmas: Int) {
    gpu.writeConfiguration(0x6, at: 4)
    gpu.writeConfiguration(NV_XVE.MSI_CTRL_ENABLE.make32(1), at: Int(NV_XVE.MSI_CTRL))
    write(NV_PMC.INTR_EN_SET(0), ~0)
    write(NV_PMC.INTR_EN_SET(1), ~0)
    write(NV_PFIFO.INTR_EN_0, ~0)
    write(NV_PFIFO.BAR1_BASE, 1 << 28 | UInt32(Self.userd >> 12))
    for index in 0..<UInt32(pbdmas) {
      write(NV_PPBDMA.base(index) + NV_PPBDMA.INTR_EN_0, ~0)
      write(NV_PPBDMA.base(index) + NV_PPBDMA.INTR_EN_1, ~0)
    }
  }

  private func handle() {
    write(NV_PMC.INTR_EN_CLEAR(0), ~0)
    write(NV_PMC.INTR_EN_CLEAR(1), ~0)
    write(NV_XVE.mirror + NV_XVE.CYA_2, 0)
    interrupts.append((read(NV_PMC.INTR(0)), read(NV_PMC.INTR(1))))
    onInterrupt()
    write(NV_PFIFO.INTR_0, ~0)
    write(NV_PFIFO.INTR_RUNLIST, ~0)
  }

  /// Lets interrupts through again; what a handler does last.
  func unmask() {
    write(NV_PMC.INTR_EN_SET(0), ~0)
    write(NV_PMC.INTR_EN_SET(1), ~0)
  }

  func read(_ offset: UInt32) -> UInt32 { gpu.registers.read32(at: offset) }
  func write(_ offset: UInt32, _ value: UInt32) { gpu.registers.write32(value, at: offset) }
  func word(_ address: UInt64) -> UInt32 { gpu.vram.load(UInt32.self, at: Int(address)) }
  func bytes(_ address: UInt64, _ count: Int) -> [UInt8] {
    gpu.vram.bytes(at: Int(address), count: count)
  }
  func fill(_ address: UInt64, _ count: Int, seed: UInt64) -> [UInt8] {
    let bytes = Self.noise(count, seed)
    gpu.vram.store(bytes: bytes, at: Int(address))
    return bytes
  }

  static func noise(_ count: Int, _ seed: UInt64) -> [UInt8] {
    var generator = SplitMix64(seed: seed)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
  }

  @discardableResult
  func settle() throws -> [BlockedTask] { try kernel.runUntilIdle() }

  // MARK: channels

  /// Binds, enables and lists a channel on the first copy engine's runlist.
  func channel(
    _ id: UInt32 = 1, runlist: UInt32 = 1, privileged: Bool = true, authorized: Bool = true,
    acquire: UInt32 = 0x7fff_f902, signature: UInt32 = 0xface
  ) throws -> RigChannel {
    let channel = RigChannel(self, id, runlist)
    let instance = Int(channel.instance)
    let memory = gpu.vram
    memory.store(UInt32(Self.userd) + 0x200 * id, at: instance + NV_RAMFC.USERD_LO)
    memory.store(signature, at: instance + NV_RAMFC.SIGNATURE)
    memory.store(acquire, at: instance + NV_RAMFC.ACQUIRE)
    memory.store(UInt32(channel.ring), at: instance + NV_RAMFC.GP_BASE_LO)
    memory.store(NV_RAMFC.GP_BASE_HI_LIMIT2.make32(6), at: instance + NV_RAMFC.GP_BASE_HI)
    memory.store(UInt32(privileged ? 0x20 : 0), at: instance + NV_RAMFC.HCE_CTRL)
    memory.store(UInt32(authorized ? 0x100 : 0), at: instance + NV_RAMFC.CONFIG)
    tables.bind(instance: channel.instance)
    write(NV_PCCSR.CHANNEL_INST(id), 1 << 31 | UInt32(channel.instance >> 12))
    write(NV_PCCSR.CHANNEL(id), runlist << 16 | 0x400)
    return channel
  }

  /// Submits a runlist of one group with these channels.
  func list(_ channels: [RigChannel], runlist: UInt32 = 1) throws {
    var at = Int(Self.runlist)
    func put(_ entry: (UInt32, UInt32)) {
      gpu.vram.store(entry.0, at: at)
      gpu.vram.store(entry.1, at: at + 4)
      at += 8
    }
    for channel in channels {
      put(NV_RAMRL.group(tsgid: channel.id, channels: 1))
      put(NV_RAMRL.channel(chid: channel.id, instance: channel.instance))
    }
    write(NV_PFIFO.RUNLIST_BASE, UInt32(Self.runlist >> 12))
    write(NV_PFIFO.RUNLIST, runlist << 20 | UInt32(2 * channels.count))
    try settle()
    unmask()
  }

  /// A privileged channel with the copy class on subchannel 4, ready to go.
  func copyChannel() throws -> RigChannel {
    let channel = try channel()
    try list([channel])
    channel.push(4, 0, [ClassC0B5.classID])
    try channel.kick()
    return channel
  }
}

/// A channel of the rig: words collect until they are kicked.
final class RigChannel {
  let rig: Rig
  let id: UInt32
  let runlist: UInt32
  private var words: [UInt32] = []
  private var next: UInt64 = 0
  private var put: UInt32 = 0

  init(_ rig: Rig, _ id: UInt32, _ runlist: UInt32) {
    self.rig = rig
    self.id = id
    self.runlist = runlist
  }

  var instance: UInt64 { 0x10_0000 + UInt64(id) * 0x1000 }
  var ring: UInt64 { 0x50_0000 + UInt64(id) * 0x1000 }
  var pushBuffer: UInt64 { 0x40_0000 + UInt64(id) * 0x1_0000 }

  func raw(_ more: [UInt32]) { words += more }

  func push(_ subchannel: UInt32, _ method: UInt32, _ data: [UInt32]) {
    words.append(
      MethodHeader.incrementing(subchannel, method, count: UInt32(data.count)).word)
    words += data
  }

  /// A 16-byte release after WFI and a non-stall interrupt, as nouveau's fence.
  func fence(_ value: UInt32, at address: UInt64 = Rig.semaphore, command: UInt32 = 2) {
    push(
      0, ClassC06F.SEMAPHOREA,
      [UInt32(address >> 32), UInt32(truncatingIfNeeded: address), value, command, 0])
  }

  func acquire(_ value: UInt32, at address: UInt64 = Rig.semaphore, command: UInt32 = 0x1004) {
    push(0, ClassC06F.SEMAPHOREA, [UInt32(address >> 32), UInt32(address), value, command])
  }

  /// Puts the collected words into the ring and rings the doorbell.
  func ring(_ entry: GPFIFOEntry? = nil) {
    let start = pushBuffer + next
    for (index, word) in words.enumerated() {
      rig.gpu.vram.store(word, at: Int(start) + 4 * index)
    }
    let made =
      entry ?? GPFIFOEntry(segment: GPUVirtualAddress(start), dwords: UInt32(words.count))
    next += UInt64(4 * words.count)
    if next > 0xc000 { next = 0 }
    words = []
    rig.gpu.vram.store(made.word0, at: Int(ring) + 8 * Int(put))
    rig.gpu.vram.store(made.word1, at: Int(ring) + 8 * Int(put) + 4)
    put = (put + 1) % 64
    doorbell(put)
  }

  func doorbell(_ value: UInt32) {
    rig.gpu.aperture?.write32(
      value, at: Rig.userd + 0x200 * UInt64(id) + UInt64(NV_RAMUSERD.GP_PUT))
  }

  /// ``ring(_:)``, then runs until nothing moves.
  func kick(_ entry: GPFIFOEntry? = nil) throws {
    ring(entry)
    try rig.settle()
    rig.unmask()
    try rig.settle()
  }

  /// A pitch copy or clear; addresses are virtual unless the launch says otherwise.
  func copy(_ from: UInt64, _ to: UInt64, _ length: UInt32, _ launch: UInt32) {
    push(
      4, ClassC0B5.OFFSET_IN_UPPER,
      [
        UInt32(from >> 32), UInt32(truncatingIfNeeded: from), UInt32(to >> 32),
        UInt32(truncatingIfNeeded: to), length, length, length, 1,
      ])
    push(4, ClassC0B5.LAUNCH_DMA, [launch])
  }

  func userd(_ offset: Int) -> UInt32 {
    rig.word(Rig.userd + 0x200 * UInt64(id) + UInt64(offset))
  }

  var pbdma: UInt32 { NV_PPBDMA.base(runlist) }
}

/// Page tables of format 2, written straight into VRAM.
final class PageTables {
  let memory: MappedMemory
  let root: UInt64
  private var heap: UInt64

  init(_ memory: MappedMemory, root: UInt64, heap: UInt64) {
    self.memory = memory
    self.root = root
    self.heap = heap
  }

  private func allocate() -> UInt64 {
    defer { heap += 0x1000 }
    return heap
  }

  func word(_ address: UInt64) -> UInt64 { memory.load(UInt64.self, at: Int(address)) }
  func set(_ address: UInt64, _ value: UInt64) { memory.store(value, at: Int(address)) }

  /// The table that a directory entry points at, made when there is none.
  private func table(_ entry: UInt64, bigHalf: Bool = false) -> UInt64 {
    let value = word(entry)
    if NV_MMU_VER2.PDE_APERTURE.get(value) != 0 {
      return NV_MMU_VER2.PDE_ADDRESS_VID.get(value) << 12
    }
    let made = allocate()
    set(entry, NV_MMU_VER2.pde(aperture: 1, address: made))
    return made
  }

  /// The entry of PD0 (16 bytes) for an address.
  func pd0(_ address: UInt64) -> UInt64 {
    var at = root
    for field in [NV_MMU_VER2.PD3_INDEX, NV_MMU_VER2.PD2_INDEX, NV_MMU_VER2.PD1_INDEX] {
      at = table(at + field.get(address) * 8)
    }
    return at + NV_MMU_VER2.PD0_INDEX.get(address) * 16
  }

  /// Where the entry of a page of this size lies.
  func entry(_ address: UInt64, shift: Int) -> UInt64 {
    let pd0 = pd0(address)
    switch shift {
    case 21: return pd0
    case 16: return table(pd0) + NV_MMU_VER2.PT64K_INDEX.get(address) * 8
    default: return table(pd0 + 8) + NV_MMU_VER2.PT4K_INDEX.get(address) * 8
    }
  }

  func map(_ address: UInt64, _ pte: UInt64, shift: Int = 12) {
    set(entry(address, shift: shift), pte)
  }

  /// Writes the page directory words of an instance block.
  func bind(instance: UInt64, replay: Bool = false, limit: UInt64 = 1 << 49 - 1) {
    let flags: UInt32 = 1 << 11 | 1 << 10 | (replay ? 3 << 4 : 0)
    memory.store(UInt32(root) | flags, at: Int(instance) + NV_RAMIN.PAGE_DIR_BASE_LO)
    memory.store(UInt32(root >> 32), at: Int(instance) + NV_RAMIN.PAGE_DIR_BASE_HI)
    memory.store(limit, at: Int(instance) + NV_RAMIN.ADR_LIMIT_LO)
  }
}
