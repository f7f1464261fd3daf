import Base
import DeviceSeam
import EmulatedGPU
import Falcon
import KernelRuntime
import NVHardware

/// A small machine for one input: a kernel, some RAM behind a bus, a GPU with two channels.
///
/// It does through registers what a driver does, and nothing more.
final class PushBufferBoard {
  private typealias Places = PushBufferPlaces
  let kernel: Kernel
  let gpu: EmulatedGPU
  private let dma: DMAAddressSpace
  private var mapped: [(address: DMAAddress, direction: DMADirection)] = []
  private let input: PushBufferInput
  let runlist: UInt32
  /// What channels on it execute beside the host's methods.
  private let microcode: FirmwareContainer?

  /// Steps of the machine that one round may take: an acquire without a time-out polls for ever.
  private static let mostSteps: UInt64 = 500
  /// Steps after which microcode is looked at: it spins while a refusal waits for the driver.
  private static let microcodeSteps: UInt64 = 40
  /// A channel that is made after everything else, to see whether the device still works.
  static let lastChannel: UInt32 = 3

  init(_ input: PushBufferInput, microcode: FirmwareContainer?) throws(KernelError) {
    self.input = input
    self.microcode = input.onFalcon ? microcode : nil
    kernel = Kernel()
    kernel.stepLimit = self.microcode == nil ? Self.mostSteps : Self.microcodeSteps
    let ram = try MappedMemory(count: Places.hostPages * PageSize.bytes)
    dma = try DMAAddressSpace(kernel, ram: ram, coherentBytes: PageSize.bytes)
    var configuration = GPUConfiguration(vramBytes: Places.vramBytes, bar1Bytes: 64 << 20)
    if self.microcode != nil { configuration.chip = GF100Copy() }
    gpu = try EmulatedGPU(kernel, configuration: configuration, dma: dma)
    runlist = input.onGraphics ? 0 : 1
    let isGood = try mapHost()
    invariant(isGood, "the pages of a new machine can be mapped")
    try gpu.interrupt.request { [unowned self] in handle() }
    writeTables()
    bringUp()
    makeChannels([1, 2])
  }

  // MARK: registers

  func read(_ offset: UInt32) -> UInt32 { gpu.registers.read32(at: offset) }
  func write(_ offset: UInt32, _ value: UInt32) { gpu.registers.write32(value, at: offset) }
  var pbdma: UInt32 { NV_PPBDMA.base(runlist) }

  private func handle() {
    write(NV_PMC.INTR_EN_CLEAR(0), ~0)
    write(NV_PMC.INTR_EN_CLEAR(1), ~0)
    write(NV_XVE.mirror + NV_XVE.CYA_2, 0)
  }

  private func bringUp() {
    gpu.writeConfiguration(0x6, at: 4)
    gpu.writeConfiguration(NV_XVE.MSI_CTRL_ENABLE.make32(1), at: Int(NV_XVE.MSI_CTRL))
    write(NV_PMC.INTR_EN_SET(0), ~0)
    write(NV_PMC.INTR_EN_SET(1), ~0)
    write(NV_PFIFO.INTR_EN_0, ~0)
    write(NV_PFIFO.BAR1_BASE, 1 << 28 | UInt32(Places.userd >> 12))
    write(pbdma + NV_PPBDMA.INTR_EN_0, ~0)
    write(pbdma + NV_PPBDMA.INTR_EN_1, ~0)
    if let microcode { start(microcode) }
  }

  /// Resets the first copy engine.
  func resetEngine() {
    write(NV_PMC.ENABLE, ~(1 << 6))
    write(NV_PMC.ENABLE, ~0)
    if let microcode { start(microcode) }
  }

  /// Uploads and starts microcode as nouveau does for falcons of version 3.
  private func start(_ image: FirmwareContainer) {
    let window: UInt32 = 0x10_4000
    func put(_ register: FalconRegister, _ value: UInt32) {
      write(window + register.rawValue, value)
    }
    put(.codeIndex, 0x0100_0000)
    for (index, word) in Self.words(image.code).enumerated() {
      if index % 64 == 0 { put(.codeTag, UInt32(index / 64)) }
      put(.codeData, word)
    }
    put(.dataIndex, 0x0100_0000)
    for word in Self.words(image.data) { put(.dataData, word) }
    put(.blockOnFIFO, 1)
    put(.entry, image.entry)
    put(.control, 2)
    put(.accessEnable, 3)
    put(.scratch3, 0)
  }

  private static func words(_ bytes: [UInt8]) -> [UInt32] {
    stride(from: 0, to: bytes.count, by: 4).map { at in
      (0..<4).reduce(0) { $0 | UInt32(at + $1 < bytes.count ? bytes[at + $1] : 0) << ($1 * 8) }
    }
  }

  // MARK: memory

  /// Pages of host memory with rights of each kind; the last ones are not mapped at all.
  private func mapHost() throws(KernelError) -> Bool {
    let directions: [DMADirection] = [
      .bidirectional, .toDevice, .fromDevice, .bidirectional, .bidirectional, .bidirectional,
    ]
    for (index, direction) in directions.enumerated() {
      let address = try dma.map(PFN(UInt64(index)), direction)
      mapped.append((address, direction))
    }
    return mapped.count == directions.count
  }

  private func unmapHost() {
    for page in mapped { dma.unmap(page.address, page.direction) }
    mapped = []
  }

  private func writeTables() {
    typealias M = NV_MMU_VER2
    let memory = gpu.vram
    let directories = Places.directories
    for (parent, child) in zip(directories, directories.dropFirst()) {
      memory.store(M.pde(aperture: 1, address: child), at: Int(parent))
    }
    let last = Int(directories[3])
    memory.store(M.pte(aperture: 0, address: 0), at: last)
    memory.store(UInt64(0), at: last + 16)
    memory.store(M.pde(aperture: 1, address: Places.hostTable), at: last + 24)
    memory.store(M.PDE_SPARSE, at: last + 32)
    let bus = DMAAddressSpace.busOffset
    for page in 0..<UInt64(Places.hostPages) {
      var entry = M.pte(aperture: 2, address: bus + page << 12)
      switch page {
      case 3: entry = M.pte(aperture: 2, address: bus + page << 12, readOnly: true)
      case 4: entry = M.pte(aperture: 2, address: bus + page << 12, atomicDisable: true)
      case 5: entry = M.pte(aperture: 2, address: bus + page << 12, privileged: true)
      case 8: entry = M.pte(aperture: 1, address: 0)
      case 9: entry = M.pte(aperture: 0, address: Places.vramBytes)
      case 10: entry = M.pte(aperture: 0, address: Places.data, kind: M.KIND_INVALID)
      case 11: entry = M.PTE_SPARSE
      case 12: entry = 0
      default: break
      }
      memory.store(entry, at: Int(Places.hostTable) + 8 * Int(page))
    }
  }

  // MARK: channels

  private func makeChannels(_ ids: [UInt32]) {
    let memory = gpu.vram
    for id in ids {
      let block = Int(Places.instance(id))
      memory.store(UInt32(Places.userd) + 0x200 * id, at: block + NV_RAMFC.USERD_LO)
      memory.store(UInt32(0), at: block + NV_RAMFC.USERD_HI)
      memory.store(NV_RAMFC.SIGNATURE_WILDCARD, at: block + NV_RAMFC.SIGNATURE)
      // SOURCE: nouveau's 0x7ffff902 with a time-out, shortened to about a millisecond.
      memory.store(
        UInt32(input.hasTimeout ? 0x8200_1902 : 0x7fff_f902), at: block + NV_RAMFC.ACQUIRE)
      memory.store(UInt32(Places.ring(id)), at: block + NV_RAMFC.GP_BASE_LO)
      memory.store(NV_RAMFC.GP_BASE_HI_LIMIT2.make32(6), at: block + NV_RAMFC.GP_BASE_HI)
      memory.store(UInt32(input.isPrivileged ? 0x20 : 0), at: block + NV_RAMFC.HCE_CTRL)
      memory.store(UInt32(input.isAuthorized ? 0x100 : 0), at: block + NV_RAMFC.CONFIG)
      let flags: UInt32 = 1 << 11 | 1 << 10 | (input.replaysFaults ? 3 << 4 : 0)
      memory.store(
        UInt32(Places.directories[0]) | flags, at: block + NV_RAMIN.PAGE_DIR_BASE_LO)
      memory.store(UInt32(0), at: block + NV_RAMIN.PAGE_DIR_BASE_HI)
      memory.store(UInt64(1) << 49 - 1, at: block + NV_RAMIN.ADR_LIMIT_LO)
      memory.store(
        UInt32(Places.context(id)) | Class90B5.CONTEXT_POINTER_VIRTUAL,
        at: block + Class90B5.contextPointer(0))
      memory.store(UInt32(0), at: block + Class90B5.contextPointer(0) + 4)
      memory.fill(0, at: Int(Places.userd) + 0x200 * Int(id), length: 0x200)
      write(NV_PCCSR.CHANNEL_INST(id), 1 << 31 | UInt32(Places.instance(id) >> 12))
      write(NV_PCCSR.CHANNEL(id), runlist << 16 | 0x400)
    }
    var at = Int(Places.runlist)
    func put(_ entry: (UInt32, UInt32)) {
      memory.store(entry.0, at: at)
      memory.store(entry.1, at: at + 4)
      at += 8
    }
    for id in ids {
      put(NV_RAMRL.group(tsgid: id, channels: 1))
      put(NV_RAMRL.channel(chid: id, instance: Places.instance(id)))
    }
    write(NV_PFIFO.RUNLIST_BASE, UInt32(Places.runlist >> 12))
    write(NV_PFIFO.RUNLIST, runlist << 20 | UInt32(2 * ids.count))
  }

  /// Entries that were put into each channel's ring so far.
  private var puts: [UInt32: UInt32] = [:]

  /// Puts a round into a channel's ring and rings its doorbell.
  func submit(_ round: PushBufferInput.Round) {
    let id = UInt32(round.channel) + 1
    let memory = gpu.vram
    for (index, word) in round.words.enumerated() {
      memory.store(word, at: Int(Places.words(id)) + 4 * index)
    }
    var put = puts[id, default: 0]
    for entry in round.entries {
      memory.store(entry, at: Int(Places.ring(id)) + 8 * Int(put))
      put = (put + 1) % 64
    }
    puts[id] = put
    ring(id, round.put ?? put)
    if round.preempts { write(NV_PFIFO.PREEMPT, 1 << 24 | id) }
    if round.unmaps { unmapHost() }
  }

  private func ring(_ id: UInt32, _ put: UInt32) {
    gpu.aperture?.write32(
      put, at: Places.userd + 0x200 * UInt64(id) + UInt64(NV_RAMUSERD.GP_PUT))
  }

  /// Runs until nothing moves; false when something still moves after all the steps.
  func settle() -> Bool {
    for _ in 0..<(Self.mostSteps / kernel.stepLimit) {
      do throws(RunFailure) {
        try kernel.runUntilIdle()
        return true
      } catch {
        if hasRefusal { return true }
      }
    }
    return false
  }

  // MARK: the end

  /// Resets every unit, makes a channel anew and lets it write a number: a driver's last resort.
  ///
  /// Nil when it works; else what doesn't.
  func resetAndTry() -> String? {
    typealias P = NV_PFB
    write(NV_PMC.ENABLE, 0)
    write(NV_PMC.ENABLE, ~0)
    for id: UInt32 in [1, 2] { write(NV_PCCSR.CHANNEL_INST(id), 0) }
    guard settle() else { return "something still moves after a reset of all units" }
    guard gpu.isIdle else { return "not idle after a reset of all units" }
    writeTables()
    write(
      P.PRI_MMU_INVALIDATE,
      P.PRI_MMU_INVALIDATE_ALL_VA.make32(1) | P.PRI_MMU_INVALIDATE_ALL_PDB.make32(1)
        | P.PRI_MMU_INVALIDATE_TRIGGER.make32(1))
    bringUp()
    makeChannels([Self.lastChannel])
    let words: [UInt32] = [
      MethodHeader.incrementing(0, ClassC06F.SEMAPHOREA, count: 4).word, 0,
      UInt32(Places.semaphore), 0x5eed, 1 << 24 | 2,
    ]
    let memory = gpu.vram
    memory.store(UInt32(0), at: Int(Places.semaphore))
    for (index, word) in words.enumerated() {
      memory.store(word, at: Int(Places.words(Self.lastChannel)) + 4 * index)
    }
    let entry = GPFIFOEntry(
      segment: GPUVirtualAddress(Places.words(Self.lastChannel)), dwords: UInt32(words.count))
    memory.store(entry.word0, at: Int(Places.ring(Self.lastChannel)))
    memory.store(entry.word1, at: Int(Places.ring(Self.lastChannel)) + 4)
    ring(Self.lastChannel, 1)
    guard settle() else { return "a fence on a fresh channel never comes to rest" }
    let value = memory.load(UInt32.self, at: Int(Places.semaphore))
    return value == 0x5eed ? nil : "after a reset a fence on a fresh channel writes nothing"
  }
}
