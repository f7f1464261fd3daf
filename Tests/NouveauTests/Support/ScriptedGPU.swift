import Base
import DeviceSeam
import KernelRuntime
import NVHardware

/// A GP100 of a few hundred lines that does what a test tells it: registers are plain storage, work
/// runs in one step, and each place where hardware can misbehave is a switch.
///
/// It shows the driver's own logic in small; how the driver fares on hardware that checks what it
/// is told is the emulator's part.
final class ScriptedGPU: PCIDevice, RegisterWindow {
  let kernel: Kernel
  let busAddress = "0000:01:00.0"
  let interrupt: InterruptLine
  let dma: DMAAddressSpace
  let vram: MappedMemory
  private var configuration: [Int: UInt32] = [:]
  private var storage: [UInt32: UInt32] = [:]
  private let window: ScriptedAperture
  private var engine: Agent?

  // What a test may change.
  /// All ones from everywhere.
  var isGone = false
  /// The host stops reading rings.
  var isHeld = false
  /// Messages are lost.
  var losesInterrupts = false
  /// The message of NON_STALL_INTERRUPT overtakes semaphore stores by this many nanoseconds.
  /// Stores keep their order.
  var storeDelay: UInt64 = 0
  private var lateStores: [(due: UInt64, place: Int, payload: UInt32)] = []
  private var lateStore: Agent?
  /// Launches still to be refused.
  var launchesToRefuse = 0
  /// The host writes GP_GET back only when asked by ``writeBack()``.
  var isLazy = false
  /// Fills of the window onto VRAM count as one access.
  var fillsAtOnce = false
  /// Kept when not nil.
  var accesses: [Access]?
  /// Counted always.
  private(set) var accessCount = 0
  private(set) var launches: [Launch] = []
  /// Channels whose GP_PUT was written and whose entries were not all executed.
  private var rings: [UInt32: Ring] = [:]

  struct Access: Hashable {
    let isWrite: Bool
    let offset: UInt32
    let value: UInt32
  }

  struct Launch: Hashable {
    var source: UInt64
    var target: UInt64
    var lineBytes: UInt32
    var lines: UInt32
    var word: UInt32
  }

  struct Ring {
    var gpGet: UInt32 = 0
    var methods: [UInt32: UInt32] = [:]
  }

  init(_ kernel: Kernel, ram: MappedMemory, vramMiB: Int = 64) throws {
    self.kernel = kernel
    interrupt = InterruptLine(kernel, "gpu")
    dma = try DMAAddressSpace(kernel, ram: ram)
    vram = try MappedMemory(count: vramMiB << 20)
    window = ScriptedAperture()
    window.gpu = self
    configuration = [
      0: 0x15f8_10de, 4: 0x0010_0000, 8: 0x0302_00a1, 0x64: 0, 0x68: 0x0080_0005,
    ]
    powerOn(vramMiB)
    engine = kernel.agent("gpu", group: .engines) { [unowned self] in run() }
    lateStore = kernel.agent("late store", group: .engines) { [unowned self] in
      while let store = lateStores.first, store.due <= kernel.now {
        lateStores.removeFirst()
        vram.store(store.payload, at: store.place)
      }
    }
  }

  /// Registers as firmware leaves them.
  func powerOn(_ vramMiB: Int) {
    storage = [
      NV_PMC.BOOT_0: 0x1300_00a1,
      NV_FUSE.DEVINIT_STATUS: NV_FUSE.DEVINIT_STATUS_POSTED.make32(1),
      NV_PFB_TOPOLOGY.NUM_FBPS: 1, NV_PFB_TOPOLOGY.FBPAS_PER_FBP: 1,
      NV_PFB_TOPOLOGY.LTCS_PER_FBP: 2,
      NV_PFB_TOPOLOGY.FBPA_SIZE(0): UInt32(vramMiB),
      NV_PFB.PRI_MMU_CTRL: NV_PFB.PRI_MMU_CTRL_PRI_FIFO_SPACE.make32(32)
        | NV_PFB.PRI_MMU_CTRL_PRI_FIFO_EMPTY.make32(1),
      NV_PFIFO.CFG0: 2, NV_PFIFO.PBDMA_MAP(0): 1, NV_PFIFO.PBDMA_MAP(1): 2,
      NV_PFIFO.REPLAYABLE_FAULT_BUFFER_SIZE: 64,
    ]
    let copy = TopologyEntry(
      type: NV_PTOP.DEVICE_INFO_TYPE_ENUM_LCE, instance: 0, priBase: 0x104000, faultID: 21,
      engine: 1, runlist: 1, interrupt: 5, reset: 6)
    for (index, word) in copy.words.enumerated() {
      storage[NV_PTOP.DEVICE_INFO(UInt32(index))] = word
    }
  }

  func peek(_ offset: UInt32) -> UInt32 { storage[offset] ?? 0 }
  func poke(_ offset: UInt32, _ value: UInt32) { storage[offset] = value }

  // MARK: the seam

  var registers: any RegisterWindow { self }
  var aperture: (any ApertureWindow)? { window }
  var byteCount: UInt64 { 16 << 20 }

  func readConfiguration(at offset: Int) -> UInt32 { isGone ? .max : configuration[offset] ?? 0 }
  func writeConfiguration(_ value: UInt32, at offset: Int) {
    if !isGone { configuration[offset] = value }
  }

  func read32(at offset: UInt32) -> UInt32 {
    accessCount += 1
    let value = isGone ? .max : readRegister(offset)
    accesses?.append(Access(isWrite: false, offset: offset, value: value))
    return value
  }

  func write32(_ value: UInt32, at offset: UInt32) {
    accessCount += 1
    accesses?.append(Access(isWrite: true, offset: offset, value: value))
    if !isGone { writeRegister(value, offset) }
  }

  func fill32(_ value: UInt32, at offset: UInt32, count: Int) {
    if fillsAtOnce { accessCount -= count - 1 }
    for index in 0..<UInt32(count) { write32(value, at: offset + 4 * index) }
  }

  private func readRegister(_ offset: UInt32) -> UInt32 {
    if let place = framebuffer(offset) { return vram.load(UInt32.self, at: place) }
    switch offset {
    case NV_PMC.INTR(0): return pending
    case NV_PFIFO.INTR_0: return hostPending
    default: return peek(offset)
    }
  }

  private func writeRegister(_ value: UInt32, _ offset: UInt32) {
    if let place = framebuffer(offset) {
      vram.store(value, at: place)
      return
    }
    switch offset {
    case NV_PFIFO.INTR_0, NV_PFIFO.INTR_MMU_FAULT_ID, NV_PFIFO.INTR_PBDMA_ID,
      NV_CE.LCE_INTR_STATUS(0), NV_PPBDMA.base(1) + NV_PPBDMA.INTR_0,
      NV_PPBDMA.base(1) + NV_PPBDMA.INTR_1:
      storage[offset] = peek(offset) & ~value
    case NV_PMC.INTR_EN_SET(0):
      storage[NV_PMC.INTR_EN(0)] = peek(NV_PMC.INTR_EN(0)) | value
      message()
    case NV_PMC.INTR_EN_CLEAR(0):
      storage[NV_PMC.INTR_EN(0)] = peek(NV_PMC.INTR_EN(0)) & ~value
    case NV_UFLUSH.FB_FLUSH, NV_PFIFO.PREEMPT: break
    case NV_PCCSR.base..<(NV_PCCSR.base + 8 * 128) where offset & 7 == 0:
      // A bound channel starts from what its instance block says.
      rings[(offset - NV_PCCSR.base) / 8] = nil
      storage[offset] = value
    default: storage[offset] = value
    }
  }

  private func framebuffer(_ offset: UInt32) -> Int? {
    guard offset >= NV_PRAMIN.base, offset < NV_PRAMIN.base + NV_PRAMIN.byteCount else {
      return nil
    }
    return Int(peek(NV_PBUS.BAR0_WINDOW)) << 16 + Int(offset - NV_PRAMIN.base)
  }

  // MARK: interrupts

  /// PBDMA_INTR is a summary of the PBDMAs' bits.
  private var hostPending: UInt32 {
    peek(NV_PFIFO.INTR_0) | (peek(NV_PFIFO.INTR_PBDMA_ID) == 0 ? 0 : 1 << 29)
  }

  private var pending: UInt32 {
    var word: UInt32 = 0
    if hostPending & peek(NV_PFIFO.INTR_EN_0) != 0 {
      word |= NV_PMC.INTR_PFIFO.make32(1)
    }
    if peek(NV_CE.LCE_INTR_STATUS(0)) & peek(NV_CE.LCE_INTR_EN(0)) != 0 { word |= 1 << 5 }
    if peek(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_GET) != peek(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_PUT) {
      word |= NV_PMC.INTR_REPLAYABLE_FAULT.make32(1)
    }
    return word
  }

  func message() {
    if !losesInterrupts && pending & peek(NV_PMC.INTR_EN(0)) != 0 { interrupt.raise() }
  }

  /// Sets bits of a PFIFO or engine status and sends the message.
  func raise(_ register: UInt32, _ bits: UInt32) {
    storage[register] = peek(register) | bits
    message()
  }

  // MARK: translation

  /// Walks Pascal's tables from an instance block; nil where nothing is mapped.
  func translate(_ virtual: UInt64, instance: Int) -> (isSystem: Bool, address: UInt64)? {
    typealias M = NV_MMU_VER2
    func entry(_ table: UInt64, _ index: UInt64) -> UInt64 {
      vram.load(UInt64.self, at: Int(table + 8 * index))
    }
    var table = UInt64(vram.load(UInt32.self, at: instance + 0x200)) & ~0xfff
    table |= UInt64(vram.load(UInt32.self, at: instance + 0x204)) << 32
    for field in [M.PD3_INDEX, M.PD2_INDEX, M.PD1_INDEX] {
      let directory = entry(table, field.get(virtual))
      guard M.PDE_APERTURE.get(directory) == M.PDE_APERTURE_VIDEO_MEMORY else { return nil }
      table = M.PDE_ADDRESS_VID.get(directory) << 12
    }
    let slot = M.PD0_INDEX.get(virtual)
    let low = entry(table, 2 * slot)
    let high = entry(table, 2 * slot + 1)
    func page(_ word: UInt64, _ shift: UInt64) -> (Bool, UInt64)? {
      guard M.PTE_VALID.get(word) != 0 else { return nil }
      let isSystem = M.PTE_APERTURE.get(word) != 0
      let base = (isSystem ? M.PTE_ADDRESS_SYS : M.PTE_ADDRESS_VID).get(word) << 12
      return (isSystem, base + virtual & ((1 << shift) - 1))
    }
    if M.PTE_VALID.get(low) != 0 { return page(low, 21) }
    if M.PDE_APERTURE.get(low) != 0 {
      let big = entry(M.DUAL_PDE_ADDRESS_BIG_VID.get(low) << 8, M.PT64K_INDEX.get(virtual))
      if let found = page(big, 16) { return found }
    }
    guard M.PDE_APERTURE.get(high) != 0 else { return nil }
    return page(entry(M.PDE_ADDRESS_VID.get(high) << 12, M.PT4K_INDEX.get(virtual)), 12)
  }

  /// Where bytes are; nil and a note in ``faults`` when nothing leads there.
  private func resolve(_ place: (isSystem: Bool, address: UInt64), isWrite: Bool) -> (
    MappedMemory, Int
  )? {
    if !place.isSystem { return (vram, Int(place.address)) }
    guard let target = try? dma.resolve(DMAAddress(place.address), isWrite: isWrite) else {
      faults += 1
      return nil
    }
    return (target.memory, target.offset)
  }
  /// Accesses that led nowhere.
  private(set) var faults = 0

  private func load(_ virtual: UInt64, _ instance: Int) -> UInt32 {
    guard let place = translate(virtual, instance: instance),
      let (memory, offset) = resolve(place, isWrite: false)
    else {
      faults += 1
      return 0
    }
    return memory.load(UInt32.self, at: offset)
  }

  fileprivate func readBAR1(_ address: UInt64) -> UInt32 {
    accessCount += 1
    if isGone { return .max }
    return load(address, bar1Instance)
  }

  fileprivate func writeBAR1(_ value: UInt32, _ address: UInt64) {
    accessCount += 1
    guard !isGone, let place = translate(address, instance: bar1Instance) else { return }
    vram.store(value, at: Int(place.address))
    let base = UInt64(peek(NV_PFIFO.BAR1_BASE) & 0x0fff_ffff) << 12
    if address >= base, address < base + 128 * 512, address & 511 == UInt64(NV_RAMUSERD.GP_PUT) {
      engine?.kick()
    }
  }

  private var bar1Instance: Int { Int(peek(NV_PBUS.BAR1_BLOCK) & 0x0fff_ffff) << 12 }

  // MARK: execution

  /// Lets the host go on after ``isHeld``.
  func release() {
    isHeld = false
    engine?.kick()
  }

  private func run() {
    guard !isHeld && !isGone else { return }
    for id: UInt32 in 0..<128 {
      let bind = peek(NV_PCCSR.CHANNEL_INST(id))
      guard NV_PCCSR.CHANNEL_INST_BIND.get(bind) != 0 else {
        rings[id] = nil
        continue
      }
      runChannel(id, Int(NV_PCCSR.CHANNEL_INST_PTR.get(bind)) << 12)
    }
  }

  private func userd(_ instance: Int) -> Int {
    Int(vram.load(UInt32.self, at: instance + NV_RAMFC.USERD_LO)) & ~0x1ff
  }

  private func runChannel(_ id: UInt32, _ instance: Int) {
    let base =
      UInt64(vram.load(UInt32.self, at: instance + NV_RAMFC.GP_BASE_HI) & 0xff) << 32
      | UInt64(vram.load(UInt32.self, at: instance + NV_RAMFC.GP_BASE_LO))
    let words = vram.load(UInt32.self, at: instance + NV_RAMFC.GP_BASE_HI)
    let mask = (UInt32(1) << NV_RAMFC.GP_BASE_HI_LIMIT2.get(words)) - 1
    let put = vram.load(UInt32.self, at: userd(instance) + NV_RAMUSERD.GP_PUT)
    var ring = rings[id] ?? Ring()
    while ring.gpGet != put && !isHeld && !isGone {
      let entry = GPFIFOEntry(
        word0: load(base + UInt64(8 * ring.gpGet), instance),
        word1: load(base + UInt64(8 * ring.gpGet) + 4, instance))
      execute(entry, instance, &ring)
      ring.gpGet = (ring.gpGet + 1) & mask
      if !isLazy {
        vram.store(ring.gpGet, at: userd(instance) + NV_RAMUSERD.GP_GET)
      }
    }
    rings[id] = ring
  }

  /// Writes GP_GET of every channel back.
  func writeBack() {
    for id: UInt32 in 0..<128 {
      guard let ring = rings[id] else { continue }
      let instance = Int(NV_PCCSR.CHANNEL_INST_PTR.get(peek(NV_PCCSR.CHANNEL_INST(id)))) << 12
      vram.store(ring.gpGet, at: userd(instance) + NV_RAMUSERD.GP_GET)
    }
  }

  private func execute(_ entry: GPFIFOEntry, _ instance: Int, _ ring: inout Ring) {
    var at = entry.address
    let end = at + 4 * UInt64(entry.dwords)
    while at < end {
      let header = MethodHeader(word: load(at, instance))
      at += 4
      if header.operation == MethodHeader.DMA_SEC_OP_IMMD_DATA_METHOD {
        method(header.method, header.count, instance, &ring)
        continue
      }
      for index in 0..<header.count {
        method(header.method + 4 * index, load(at, instance), instance, &ring)
        at += 4
      }
    }
  }

  private func method(_ address: UInt32, _ value: UInt32, _ instance: Int, _ ring: inout Ring) {
    ring.methods[address] = value
    switch address {
    case ClassC06F.SEMAPHORED: releaseSemaphore(ring, instance)
    case ClassC06F.NON_STALL_INTERRUPT: raise(NV_PFIFO.INTR_0, 1 << 31)
    case ClassC0B5.LAUNCH_DMA: launch(ring, instance)
    default: break
    }
  }

  private func releaseSemaphore(_ ring: Ring, _ instance: Int) {
    let address =
      UInt64(ring.methods[ClassC06F.SEMAPHOREA] ?? 0) << 32
      | UInt64(ring.methods[ClassC06F.SEMAPHOREB] ?? 0)
    let payload = ring.methods[ClassC06F.SEMAPHOREC] ?? 0
    guard let place = translate(address, instance: instance) else {
      faults += 1
      return
    }
    // One that is still on its way isn't overtaken.
    if storeDelay == 0 && lateStores.isEmpty {
      vram.store(payload, at: Int(place.address))
    } else {
      lateStores.append((kernel.now + storeDelay, Int(place.address), payload))
      lateStore?.kick(after: storeDelay)
    }
  }

  private func launch(_ ring: Ring, _ instance: Int) {
    func word(_ method: UInt32) -> UInt32 { ring.methods[method] ?? 0 }
    func wide(_ method: UInt32) -> UInt64 {
      UInt64(word(method)) << 32 | UInt64(word(method + 4))
    }
    let command = word(ClassC0B5.LAUNCH_DMA)
    let launch = Launch(
      source: wide(ClassC0B5.OFFSET_IN_UPPER), target: wide(ClassC0B5.OFFSET_OUT_UPPER),
      lineBytes: word(ClassC0B5.LINE_LENGTH_IN), lines: word(ClassC0B5.LINE_COUNT),
      word: command)
    launches.append(launch)
    if launchesToRefuse > 0 {
      launchesToRefuse -= 1
      poke(NV_CE.LCE_LAUNCHERR(0), LaunchError.INVALID_ALIGNMENT.rawValue)
      raise(NV_CE.LCE_INTR_STATUS(0), NV_CE.LCE_INTR_STATUS_LAUNCHERR.make32(1))
      return
    }
    func place(_ at: UInt64, _ type: BitField, _ mode: UInt32) -> (Bool, UInt64)? {
      if type.get(command) == 0 { return translate(at, instance: instance) }
      return (word(mode) != ClassC0B5.PHYS_MODE_TARGET_LOCAL_FB, at)
    }
    func target(_ offset: UInt64) -> (MappedMemory, Int)? {
      place(launch.target + offset, ClassC0B5.LAUNCH_DMA_DST_TYPE, ClassC0B5.SET_DST_PHYS_MODE)
        .flatMap { resolve($0, isWrite: true) }
    }
    if ClassC0B5.LAUNCH_DMA_REMAP_ENABLE.get(command) != 0 {
      guard let (memory, offset) = target(0) else { return }
      memory.fill(0, at: offset, length: Int(launch.lineBytes) * 8)
      return
    }
    for line in 0..<UInt64(launch.lines) {
      let source = place(
        launch.source + line * UInt64(word(ClassC0B5.PITCH_IN)), ClassC0B5.LAUNCH_DMA_SRC_TYPE,
        ClassC0B5.SET_SRC_PHYS_MODE
      ).flatMap { resolve($0, isWrite: false) }
      guard let (from, fromOffset) = source,
        let (to, toOffset) = target(line * UInt64(word(ClassC0B5.PITCH_OUT)))
      else { return }
      to.copy(from: from, at: fromOffset, to: toOffset, length: Int(launch.lineBytes))
    }
  }
}

/// BAR1 of a ``ScriptedGPU``.
final class ScriptedAperture: ApertureWindow {
  fileprivate weak var gpu: ScriptedGPU?
  var byteCount: UInt64 { 64 << 20 }
  func read32(at offset: UInt64) -> UInt32 { gpu?.readBAR1(offset) ?? .max }
  func write32(_ value: UInt32, at offset: UInt64) { gpu?.writeBAR1(value, offset) }
}
