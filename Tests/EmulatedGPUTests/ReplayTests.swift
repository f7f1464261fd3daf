import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import NVHardware
import Testing

/// A rig with the fault buffer on, whose handler replays or cancels.
private final class ReplayRig {
  let rig: Rig
  static let instance = VRAMAddress(0x1e_0000)
  static let buffer: UInt64 = 0x62_0000
  static let va: UInt64 = 0x7f_0000_0000
  var packets: [[UInt32]] = []

  init() throws {
    rig = try Rig()
    rig.tables.bind(instance: Self.instance.rawValue, replay: true)
    let bar2: UInt64 = 0x1f_0000
    rig.tables.bind(instance: bar2)
    rig.write(NV_PBUS.BAR2_BLOCK, 1 << 31 | UInt32(bar2 >> 12))
    rig.write(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_HI, 0)
    rig.write(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_LO, UInt32(Self.buffer) | 1)
  }

  /// Reads what PUT has moved past; clears VALID and sets GET, as nouveau's SVM does.
  func drain() {
    let entries = rig.read(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_SIZE)
    var get = rig.read(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_GET)
    let put = rig.read(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_PUT)
    while get != put {
      let at = Self.buffer + UInt64(get) * 32
      packets.append((0..<8).map { rig.word(at + 4 * $0) })
      rig.gpu.vram.store(rig.word(at + 28) & ~(1 << 31), at: Int(at) + 28)
      get = (get + 1) % entries
    }
    rig.write(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_GET, get)
  }

  func replay() { rig.write(NV_PFB.PRI_MMU_INVALIDATE, 0x8000_000b) }
}

@Suite struct ReplayTests {
  @Test func mappedAccess_completesWithoutFault() throws {
    let r = try ReplayRig()
    let gpu = r.rig.gpu
    let bytes = r.rig.fill(Rig.data + 5, 10_000, seed: 1)
    let result = try r.rig.kernel.run {
      await gpu.load(
        instance: ReplayRig.instance, GPUVirtualAddress(Rig.data + 5), count: 10_000)
    }
    #expect(result.0 == .completed)
    #expect(result.1 == bytes)
    #expect(gpu.replayableFaults == 0)
  }

  @Test func fault_isReportedAndReplayed() throws {
    let r = try ReplayRig()
    let rig = r.rig
    rig.onInterrupt = {
      r.drain()
      rig.tables.map(ReplayRig.va, NV_MMU_VER2.pte(aperture: 0, address: 0x160_0000))
      r.replay()
    }
    let result = try rig.kernel.run {
      await rig.gpu.store(
        instance: ReplayRig.instance, GPUVirtualAddress(ReplayRig.va + 8), [1, 2, 3, 4],
        client: 3 << 8 | 4)
    }
    #expect(result == .completed)
    #expect(rig.bytes(0x160_0008, 4) == [1, 2, 3, 4])
    #expect(rig.interrupts.map(\.0) == [1 << 9])
    let packet = try #require(r.packets.first)
    #expect(r.packets.count == 1)
    #expect(packet[0] == 0x1e_0000 && packet[1] == 0, "instance block, in VRAM")
    #expect(packet[2] == UInt32(truncatingIfNeeded: ReplayRig.va) && packet[3] == 0x7f)
    typealias E = NVB069_FAULT_BUF_ENTRY
    #expect(E.VALID.get(packet[7]) == 1)
    #expect(E.ACCESS_TYPE.get(packet[7]) == NV_PFAULT.AccessType.WRITE.rawValue)
    #expect(E.FAULT_TYPE.get(packet[7]) == NV_PFAULT.FaultType.PDE.rawValue)
    #expect(E.CLIENT.get(packet[7]) == 4)
    #expect(E.GPC_ID.get(packet[7]) == 3)
    #expect(E.MMU_CLIENT_TYPE.get(packet[7]) == 0)
    #expect(rig.gpu.parkedAccesses == 0)
    #expect(rig.read(NV_PMC.INTR(0)) & 1 << 9 == 0)
  }

  @Test func replayWithoutMapping_faultsAgain() throws {
    let r = try ReplayRig()
    let rig = r.rig
    var rounds = 0
    rig.onInterrupt = {
      r.drain()
      rounds += 1
      if rounds == 3 {
        rig.tables.map(ReplayRig.va, NV_MMU_VER2.pte(aperture: 0, address: 0x160_0000))
      }
      r.replay()
      rig.unmask()
    }
    let result = try rig.kernel.run {
      await rig.gpu.load(instance: ReplayRig.instance, GPUVirtualAddress(ReplayRig.va), count: 4)
    }
    #expect(result.0 == .completed)
    #expect(r.packets.count == 3)
  }

  @Test func upgradeOfAReadOnlyPage_needsTheReplayAfterIt() throws {
    let r = try ReplayRig()
    let rig = r.rig
    let pte = NV_MMU_VER2.pte(
      aperture: 0, address: 0x160_0000, readOnly: true, atomicDisable: true)
    rig.tables.map(ReplayRig.va, pte)
    rig.onInterrupt = {
      r.drain()
      rig.tables.map(ReplayRig.va, NV_MMU_VER2.pte(aperture: 0, address: 0x160_0000))
      r.replay()
    }
    let result = try rig.kernel.run {
      _ = await rig.gpu.load(
        instance: ReplayRig.instance, GPUVirtualAddress(ReplayRig.va), count: 4)
      return await rig.gpu.atomicAdd(
        instance: ReplayRig.instance, GPUVirtualAddress(ReplayRig.va), 5)
    }
    #expect(result.0 == .completed && result.1 == 0)
    #expect(rig.word(0x160_0000) == 5)
    let type = r.packets.first.map { NVB069_FAULT_BUF_ENTRY.FAULT_TYPE.get($0[7]) }
    #expect(type == NV_PFAULT.FaultType.RO_VIOLATION.rawValue)
  }

  @Test func targetedCancel_endsOnlyThatClientsAccess() throws {
    let r = try ReplayRig()
    let rig = r.rig
    rig.onInterrupt = { r.drain() }
    var results: [DeviceAccessResult?] = [nil, nil]
    for index in 0..<2 {
      rig.kernel.spawn("gpu thread \(index)") {
        results[index] = await rig.gpu.prefetch(
          instance: ReplayRig.instance, GPUVirtualAddress(ReplayRig.va + UInt64(index) * 4096),
          client: UInt32(index + 1) << 8 | 9)
      }
    }
    try rig.settle()
    rig.unmask()
    try rig.settle()
    #expect(r.packets.count == 2)
    #expect(rig.gpu.parkedAccesses == 2)
    // nouveau's word: 0x1b | gpc << 15 | client << 9.
    rig.write(NV_PFB.PRI_MMU_INVALIDATE, 0x8000_001b | 2 << 15 | 9 << 9)
    try rig.settle()
    #expect(results == [nil, .cancelled(.PDE)])
    // The cancelled fault comes back as one that is not replayable, for the graphics engine.
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_ID) == 1)
    #expect(
      NV_PFIFO.INTR_MMU_FAULT_INFO_GPC_ID.get(rig.read(NV_PFIFO.INTR_MMU_FAULT_INFO(0))) == 2)
    #expect(rig.gpu.parkedAccesses == 1)
    rig.write(
      NV_PFB.PRI_MMU_INVALIDATE, 0x8000_0003 | MMUReplay.CANCEL_GLOBAL.rawValue << 3)
    try rig.settle()
    #expect(results == [.cancelled(.PDE), .cancelled(.PDE)])
  }

  @Test func replay_byMethodWorksAsByRegister() throws {
    let r = try ReplayRig()
    let rig = r.rig
    let channel = try rig.copyChannel()
    rig.onInterrupt = { r.drain() }
    var result: DeviceAccessResult?
    rig.kernel.spawn("gpu thread") {
      result = await rig.gpu.store(
        instance: ReplayRig.instance, GPUVirtualAddress(ReplayRig.va), [9])
    }
    try rig.settle()
    #expect(result == nil)
    rig.tables.map(ReplayRig.va, NV_MMU_VER2.pte(aperture: 0, address: 0x160_0000))
    channel.push(
      0, ClassC06F.MEM_OP_A, [0, 0, 1 | MMUReplay.START.rawValue << 2, 9 << 27])
    try channel.kick()
    #expect(result == .completed)
  }

  @Test func fullBuffer_holdsFaultsBack() throws {
    let r = try ReplayRig()
    let rig = r.rig
    let entries = Int(rig.read(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_SIZE))
    var done = 0
    for index in 0..<(entries + 10) {
      rig.kernel.spawn("gpu thread \(index)") {
        _ = await rig.gpu.prefetch(
          instance: ReplayRig.instance, GPUVirtualAddress(ReplayRig.va + UInt64(index) << 12))
        done += 1
      }
    }
    try rig.settle()
    #expect(rig.read(NV_PFIFO.REPLAYABLE_FAULT_BUFFER_PUT) == UInt32(entries - 1))
    r.drain()
    #expect(r.packets.count == entries - 1)
    r.drain()
    #expect(r.packets.count == entries + 10)
    rig.write(
      NV_PFB.PRI_MMU_INVALIDATE, 0x8000_0003 | MMUReplay.CANCEL_GLOBAL.rawValue << 3)
    try rig.settle()
    #expect(done == entries + 10)
  }

  @Test func contextWithoutReplay_faultsForGood() throws {
    let r = try ReplayRig()
    let rig = r.rig
    rig.tables.bind(instance: ReplayRig.instance.rawValue, replay: false)
    let result = try rig.kernel.run {
      await rig.gpu.prefetch(instance: ReplayRig.instance, GPUVirtualAddress(ReplayRig.va))
    }
    #expect(result == .faulted(.PDE, GPUVirtualAddress(ReplayRig.va)))
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_ID) == 1)
  }

  @Test func gpcTranslations_surviveAHubOnlyInvalidation() throws {
    let r = try ReplayRig()
    let rig = r.rig
    let at = GPUVirtualAddress(ReplayRig.va)
    rig.tables.map(ReplayRig.va, NV_MMU_VER2.pte(aperture: 0, address: 0x160_0000))
    let load = {
      try rig.kernel.run {
        await rig.gpu.load(instance: ReplayRig.instance, at, count: 1).1
      }
    }
    rig.gpu.vram.store(UInt8(1), at: 0x160_0000)
    rig.gpu.vram.store(UInt8(2), at: 0x170_0000)
    #expect(try load() == [1])
    rig.tables.map(ReplayRig.va, NV_MMU_VER2.pte(aperture: 0, address: 0x170_0000))
    rig.write(NV_PFB.PRI_MMU_INVALIDATE, 0x8000_0007)
    #expect(try load() == [1])
    rig.write(NV_PFB.PRI_MMU_INVALIDATE, 0x8000_0003)
    #expect(try load() == [2])
  }

  @Test func lostDevice_endsParkedAccesses() throws {
    let r = try ReplayRig()
    let rig = r.rig
    var result: DeviceAccessResult?
    rig.kernel.spawn("gpu thread") {
      result = await rig.gpu.prefetch(instance: ReplayRig.instance, GPUVirtualAddress(ReplayRig.va))
    }
    try rig.settle()
    #expect(result == nil)
    rig.gpu.loseDevice()
    try rig.settle()
    #expect(result == .lost)
  }
}
