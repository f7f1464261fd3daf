import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import NVHardware
import Testing

/// Both pitch, non-pipelined, one line.
private let linear: UInt32 = 0x182
/// Both sides physical.
private let physical: UInt32 = 0x3000

@Suite struct CopyTests {
  @Test(arguments: [linear, linear | physical, linear | 0x1000, linear | 0x2000])
  func vramToVRAM_movesTheBytes(_ launch: UInt32) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let bytes = rig.fill(Rig.data + 3, 10_000, seed: 1)
    channel.copy(Rig.data + 3, Rig.data + 0x10_0005, 10_000, launch)
    try channel.kick()
    #expect(rig.bytes(Rig.data + 0x10_0005, 10_000) == bytes)
    #expect(rig.word(Rig.data + 0x10_0005 + 10_000) == 0)
    #expect(rig.gpu.bytesCopied == 10_000)
    #expect(rig.gpu.launchesCompleted == 1)
  }

  /// Fills the physical modes: source, then target. 0 VRAM, 1 host.
  private func modes(_ channel: RigChannel, _ source: UInt32, _ target: UInt32) {
    channel.push(4, ClassC0B5.SET_SRC_PHYS_MODE, [source, target])
  }

  @Test func hostPages_areReachedThroughTheirMappings() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let bytes = Rig.noise(4096, 2)
    rig.ram.store(bytes: bytes, at: 5 * 4096)
    let from = try rig.dma.map(PFN(5), .toDevice)
    let to = try rig.dma.map(PFN(9), .fromDevice)
    modes(channel, 1, 0)
    channel.copy(from.rawValue, Rig.data, 4096, linear | physical)
    modes(channel, 0, 1)
    channel.copy(Rig.data, to.rawValue, 4096, linear | physical)
    try channel.kick()
    #expect(rig.bytes(Rig.data, 4096) == bytes)
    #expect(rig.ram.bytes(at: 9 * 4096, count: 4096) == bytes)
    #expect(rig.gpu.audit().isEmpty)
  }

  enum Refusal: String, CaseIterable, Sendable {
    case unmapped, wrongDirection, notBusMaster, beyondVRAM, unmappedMeanwhile
  }

  @Test(arguments: Refusal.allCases)
  func refusedAccess_stopsTheEngineWithAFault(_ refusal: Refusal) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let page = try rig.dma.map(PFN(5), .toDevice)
    var from = page.rawValue
    var to = Rig.data
    var fromMode: UInt32 = 1
    var toMode: UInt32 = 0
    switch refusal {
    case .unmapped: from += 4096
    case .wrongDirection: (from, to, fromMode, toMode) = (to, from, 0, 1)
    case .notBusMaster: break
    case .beyondVRAM: (from, fromMode) = (64 << 20, 0)
    case .unmappedMeanwhile: break
    }
    modes(channel, fromMode, toMode)
    channel.copy(from, to, 4096, linear | physical)
    channel.fence(1)
    channel.ring()
    if refusal == .notBusMaster { rig.gpu.writeConfiguration(2, at: 4) }
    if refusal == .unmappedMeanwhile {
      rig.kernel.after(1_200, "unmap") { rig.dma.unmap(page, .toDevice) }
    }
    try rig.settle()
    #expect(rig.read(NV_PFIFO.INTR_MMU_FAULT_ID) == 1 << NV_PFAULT.MMU_ENG_ID_CE0, "\(refusal)")
    let info = rig.read(NV_PFIFO.INTR_MMU_FAULT_INFO(NV_PFAULT.MMU_ENG_ID_CE0))
    #expect(
      NV_PFIFO.INTR_MMU_FAULT_INFO_TYPE.get(info)
        == NV_PFAULT.FaultType.REGION_VIOLATION.rawValue)
    #expect(rig.word(Rig.semaphore) == 0, "\(refusal): the fence doesn't signal")
    #expect(rig.gpu.busFaults.isEmpty == (refusal == .beyondVRAM))
  }

  @Test func manyPages_coalesceAndKeepTheirPlaces() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    var expected: [UInt8] = []
    // Host pages in a scattered order behind one stretch of virtual addresses.
    for index in 0..<32 {
      let pfn = PFN(UInt64((index * 7) % 32 + 10))
      let bytes = Rig.noise(4096, UInt64(index))
      rig.ram.store(bytes: bytes, at: pfn.index * 4096)
      expected += bytes
      let bus = try rig.dma.map(pfn, .bidirectional)
      rig.tables.map(
        0x1_0000_0000 + UInt64(index) * 4096,
        NV_MMU_VER2.pte(aperture: 2, address: bus.rawValue, volatile: true))
    }
    channel.copy(0x1_0000_0000 + 100, Rig.data + 1, 32 * 4096 - 200, linear)
    try channel.kick()
    #expect(rig.bytes(Rig.data + 1, 32 * 4096 - 200) == Array(expected[100..<(32 * 4096 - 100)]))
  }

  @Test(arguments: [0x200, 0x300, -0x300] as [Int32])
  func multiLine_stepsByThePitches(_ pitch: Int32) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let base = Rig.data + 0x1_0000
    _ = rig.fill(Rig.data, 0x2_0000, seed: 3)
    let target = Rig.data + 0x40_0000
    channel.push(
      4, ClassC0B5.OFFSET_IN_UPPER,
      [0, UInt32(base), 0, UInt32(target), UInt32(bitPattern: pitch), 0x280, 0x180, 20])
    channel.push(4, ClassC0B5.LAUNCH_DMA, [linear | 0x200])
    try channel.kick()
    for line in 0..<20 {
      let from = UInt64(Int64(base) + Int64(line) * Int64(pitch))
      #expect(rig.bytes(target + UInt64(line) * 0x280, 0x180) == rig.bytes(from, 0x180))
      #expect(rig.word(target + UInt64(line) * 0x280 + 0x180) == 0)
    }
  }

  @Test func wholePages_inOneMultiLineLaunch() throws {
    // nouveau's TTM move: pitch = line length = 4096, one line a page.
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let bytes = rig.fill(Rig.data, 64 * 4096, seed: 4)
    channel.push(
      4, ClassC0B5.OFFSET_IN_UPPER,
      [0, UInt32(Rig.data), 0, UInt32(Rig.data + 0x40_0000), 4096, 4096, 4096, 64])
    channel.push(4, ClassC0B5.LAUNCH_DMA, [0x386])
    try channel.kick()
    #expect(rig.bytes(Rig.data + 0x40_0000, 64 * 4096) == bytes)
  }

  @Test func clear_isARemapOfConstants() throws {
    // nouveau's dmem clear: two components of four bytes, length in elements of eight.
    let rig = try Rig()
    let channel = try rig.copyChannel()
    _ = rig.fill(Rig.data, 8192, seed: 5)
    channel.push(
      4, ClassC0B5.SET_REMAP_CONST_A, [0, 0, 4 | 5 << 4 | 3 << 16 | 1 << 24])
    channel.push(4, ClassC0B5.OFFSET_OUT_UPPER, [0, UInt32(Rig.data)])
    channel.push(4, ClassC0B5.LINE_LENGTH_IN, [4096 >> 3])
    channel.push(4, ClassC0B5.LAUNCH_DMA, [linear | 0x400])
    try channel.kick()
    #expect(rig.bytes(Rig.data, 4096) == [UInt8](repeating: 0, count: 4096))
    #expect(rig.bytes(Rig.data + 4096, 4096) == Array(Rig.noise(8192, 5)[4096...]))
  }

  /// What a remap shall give, element by element.
  private func oracle(
    _ source: [UInt8], _ target: [UInt8], _ components: UInt32, _ a: UInt32,
    _ b: UInt32
  ) -> [UInt8] {
    let size = Int(components >> 16 & 3) + 1
    let sources = Int(components >> 20 & 3) + 1
    let targets = Int(components >> 24 & 3) + 1
    var result = target
    for element in 0..<(target.count / (size * targets)) {
      for slot in 0..<targets {
        let pick = Int(components >> UInt32(4 * slot) & 7)
        for byte in 0..<size {
          let at = (element * targets + slot) * size + byte
          switch pick {
          case 0..<4: result[at] = source[(element * sources + pick) * size + byte]
          case 4: result[at] = UInt8(truncatingIfNeeded: a >> UInt32(8 * byte))
          case 5: result[at] = UInt8(truncatingIfNeeded: b >> UInt32(8 * byte))
          default: break
          }
        }
      }
    }
    return result
  }

  @Test(arguments: 0..<40)
  func remap_isTheOraclesForRandomComponents(_ seed: Int) throws {
    var generator = SplitMix64(seed: UInt64(seed))
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let sources = generator.below(4) + 1
    let targets = generator.below(4) + 1
    let size = generator.below(4) + 1
    var components = UInt32(size - 1) << 16 | UInt32(sources - 1) << 20 | UInt32(targets - 1) << 24
    let constantsOnly = seed % 3 == 0
    for slot in 0..<targets {
      let choice = generator.below(sources + 3)
      let pick = constantsOnly ? 4 + choice % 2 : choice < sources ? choice : 4 + choice - sources
      components |= UInt32(pick) << UInt32(4 * slot)
    }
    let elements = 1000 + generator.below(2000)
    let a = UInt32(truncatingIfNeeded: generator.next())
    let b = UInt32(truncatingIfNeeded: generator.next())
    let source = rig.fill(Rig.data + 1, elements * sources * size, seed: 6)
    let before = rig.fill(Rig.data + 0x40_0003, elements * targets * size, seed: 7)
    channel.push(4, ClassC0B5.SET_REMAP_CONST_A, [a, b, components])
    channel.copy(Rig.data + 1, Rig.data + 0x40_0003, UInt32(elements), linear | 0x400)
    try channel.kick()
    let after = rig.bytes(Rig.data + 0x40_0003, before.count)
    let isRight = after == oracle(source, before, components, a, b)
    #expect(isRight, "seed \(seed): components 0x\(String(components, radix: 16))")
  }

  /// The address of a byte of a block-linear surface, by counting GOBs one after the other.
  private func offset(_ x: Int, _ y: Int, _ z: Int, width: Int, height: Int, h: Int, d: Int) -> Int
  {
    let across = (width + 63) / 64
    let rows = 8 << h
    let down = (height + rows - 1) / rows
    let block = ((z >> d) * down + y / rows) * across + x / 64
    let gob = ((z & (1 << d - 1)) << h) + (y % rows) / 8
    return block * (512 << (h + d)) + gob * 512 + (y % 8) * 64 + x % 64
  }

  @Test(arguments: [(0, 0, 0), (1, 0, 0), (2, 1, 1), (3, 0, 0)])
  func blockLinear_scattersAndGathers(_ h: Int, _ d: Int, _ layer: Int) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let (width, height) = (200, 50)
    let (x0, y0, columns, lines) = (17, 5, 150, 40)
    let linearBytes = rig.fill(Rig.data, columns * lines, seed: 8)
    let surface = Rig.data + 0x40_0000
    let block = UInt32(h << 4 | d << 8 | 1 << 12)
    channel.push(
      4, ClassC0B5.SET_DST_BLOCK_SIZE,
      [block, UInt32(width), UInt32(height), 2, UInt32(layer), UInt32(x0 | y0 << 16)])
    channel.push(
      4, ClassC0B5.SET_SRC_BLOCK_SIZE,
      [block, UInt32(width), UInt32(height), 2, UInt32(layer), UInt32(x0 | y0 << 16)])
    // Pitch to block linear.
    channel.push(
      4, ClassC0B5.OFFSET_IN_UPPER,
      [0, UInt32(Rig.data), 0, UInt32(surface), UInt32(columns), 0, UInt32(columns), UInt32(lines)])
    channel.push(4, ClassC0B5.LAUNCH_DMA, [0x2 | 1 << 7 | 1 << 9])
    // And back.
    channel.push(
      4, ClassC0B5.OFFSET_IN_UPPER,
      [
        0, UInt32(surface), 0, UInt32(Rig.data + 0x20_0000), 0, UInt32(columns), UInt32(columns),
        UInt32(lines),
      ])
    channel.push(4, ClassC0B5.LAUNCH_DMA, [0x2 | 1 << 8 | 1 << 9])
    try channel.kick()
    var isRight = true
    for y in 0..<lines {
      for x in 0..<columns {
        let at = offset(x0 + x, y0 + y, layer, width: width, height: height, h: h, d: d)
        if rig.gpu.vram.load(UInt8.self, at: Int(surface) + at) != linearBytes[y * columns + x] {
          isRight = false
        }
      }
    }
    #expect(isRight, "height 2^\(h), depth 2^\(d) GOBs, layer \(layer)")
    #expect(rig.bytes(Rig.data + 0x20_0000, linearBytes.count) == linearBytes)
  }

  struct BadLaunch: Sendable, CustomStringConvertible {
    let description: String
    var launch: UInt32 = linear
    var methods: [(UInt32, UInt32)] = []
    let code: LaunchError
  }

  @Test(arguments: [
    BadLaunch(description: "reserved bits", launch: linear | 1 << 24, code: .UNUSED_FIELD),
    BadLaunch(description: "transfer type 3", launch: linear | 3, code: .INVALID_VALUE),
    BadLaunch(description: "semaphore type 3", launch: linear | 3 << 3, code: .INVALID_VALUE),
    BadLaunch(
      description: "one word misaligned", launch: linear | 1 << 3, methods: [(0x244, 2)],
      code: .INVALID_ALIGNMENT),
    BadLaunch(
      description: "four words misaligned", launch: linear | 2 << 3, methods: [(0x244, 8)],
      code: .INVALID_ALIGNMENT),
    BadLaunch(
      description: "reduction of floats", launch: linear | 1 << 3 | 1 << 19 | 0xa << 14,
      code: .INVALID_VALUE),
    BadLaunch(
      description: "source line over pitch", launch: linear | 0x200,
      methods: [(0x418, 0x1001), (0x414, 0x2000)], code: .SRC_LINE_EXCEEDS_PITCH),
    BadLaunch(
      description: "source line over negative pitch", launch: linear | 0x200,
      methods: [(0x410, 0xffff_f800)], code: .SRC_LINE_EXCEEDS_NEG_PITCH),
    BadLaunch(
      description: "target line over pitch", launch: linear | 0x200, methods: [(0x414, 0x800)],
      code: .DST_LINE_EXCEEDS_PITCH),
    BadLaunch(
      description: "target line over negative pitch", launch: linear | 0x200,
      methods: [(0x414, 0xffff_f800)], code: .DST_LINE_EXCEEDS_NEG_PITCH),
    BadLaunch(
      description: "component of no source", launch: linear | 0x400, methods: [(0x708, 1)],
      code: .BAD_SRC_PIXEL_COMP_REF),
    BadLaunch(
      description: "component 7", launch: linear | 0x400, methods: [(0x708, 7)],
      code: .INVALID_VALUE),
    BadLaunch(
      description: "rectangle out of bounds", launch: 0x2 | 1 << 7,
      methods: [(0x70c, 1 << 12), (0x710, 64), (0x714, 8)], code: .MEM2MEM_RECT_OUT_OF_BOUNDS),
    BadLaunch(
      description: "layer beyond depth", launch: 0x2 | 1 << 7,
      methods: [(0x70c, 1 << 12), (0x710, 0x1000), (0x714, 8), (0x718, 2), (0x71c, 2)],
      code: .LAYER_EXCEEDS_DEPTH_2D),
  ])
  func badLaunch_isRefusedWithItsCode(_ bad: BadLaunch) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    _ = rig.fill(Rig.data, 4096, seed: 9)
    channel.copy(Rig.data, Rig.data + 0x10_0000, 4096, 0)
    for (method, value) in bad.methods { channel.push(4, method, [value]) }
    channel.push(4, ClassC0B5.LAUNCH_DMA, [bad.launch])
    channel.fence(1)
    try channel.kick()
    #expect(rig.read(NV_CE.LCE_INTR_STATUS(0)) == 1 << 2, "\(bad)")
    #expect(rig.read(NV_CE.LCE_LAUNCHERR(0)) == bad.code.rawValue, "\(bad)")
    #expect(rig.interrupts.last?.0 == 1 << 5)
    #expect(rig.bytes(Rig.data + 0x10_0000, 4096) == [UInt8](repeating: 0, count: 4096))
    #expect(rig.word(Rig.semaphore) == 0)
    // Acknowledged, the launch is dropped and the channel goes on.
    rig.write(NV_CE.LCE_INTR_STATUS(0), 1 << 2)
    try rig.settle()
    #expect(rig.read(NV_CE.LCE_LAUNCHERR(0)) == 0)
    #expect(rig.word(Rig.semaphore) == 1)
  }

  @Test func physicalLaunch_needsPrivilege() throws {
    let rig = try Rig()
    let channel = try rig.channel(privileged: false)
    try rig.list([channel])
    channel.push(4, 0, [ClassC0B5.classID])
    channel.copy(Rig.data, Rig.data + 4096, 4096, linear | 0x1000)
    try channel.kick()
    #expect(rig.read(channel.pbdma + NV_PPBDMA.INTR_1) == 1 << 2)
    #expect(rig.read(channel.pbdma + NV_PPBDMA.HCE_DBG0) == ClassC0B5.LAUNCH_DMA)
    #expect(rig.gpu.launchesCompleted == 0)
  }

  @Test func launchSemaphores_releaseAfterTheBytes() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    channel.push(4, ClassC0B5.SET_SEMAPHORE_A, [0, UInt32(Rig.semaphore), 5])
    channel.copy(Rig.data, Rig.data + 0x10_0000, 1 << 20, linear | 1 << 3)
    channel.push(4, ClassC0B5.SET_SEMAPHORE_B, [UInt32(Rig.semaphore) + 16])
    // A launch that moves nothing only releases: four words, then a reduction (ADD) of one word.
    channel.push(4, ClassC0B5.LAUNCH_DMA, [2 << 3])
    channel.push(4, ClassC0B5.LAUNCH_DMA, [1 << 3 | 1 << 19 | 5 << 14])
    try channel.kick()
    #expect(rig.word(Rig.semaphore) == 5)
    #expect(rig.word(Rig.semaphore + 4) == 0)
    #expect(rig.word(Rig.semaphore + 16) == 10)
    let time = rig.gpu.vram.load(UInt64.self, at: Int(Rig.semaphore) + 24)
    #expect(time >= 1_000 + (1 << 20) * 1_000 / 366_000)
  }

  @Test func launchInterrupts_goToTheirTrees() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.interrupts = []
    channel.push(4, ClassC0B5.LAUNCH_DMA, [2 << 5])
    try channel.kick()
    #expect(rig.interrupts.first?.1 == 1 << 5)
    #expect(rig.read(NV_CE.LCE_INTR_STATUS(0)) == 2)
    rig.write(NV_CE.LCE_INTR_STATUS(0), 2)
    channel.push(4, ClassC0B5.LAUNCH_DMA, [1 << 5])
    channel.fence(1)
    try channel.kick()
    #expect(rig.read(NV_CE.LCE_INTR_STATUS(0)) == 1)
    #expect(rig.word(Rig.semaphore) == 0, "a blocking interrupt holds the engine")
    rig.write(NV_CE.LCE_INTR_STATUS(0), 1)
    try rig.settle()
    #expect(rig.word(Rig.semaphore) == 1)
  }

  @Test(
    arguments: [
      (0, 9, 9, false), (1, 9, 9, true), (2, 0, 9, false), (2, 9, 0, true), (3, 4, 4, true),
      (3, 4, 5, false), (4, 4, 5, true), (4, 4, 4, false),
    ] as [(UInt32, UInt32, UInt32, Bool)])
  func renderEnable_decidesWhetherBytesMove(
    _ mode: UInt32, _ first: UInt32, _ second: UInt32, _ moves: Bool
  ) throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    rig.gpu.vram.store(first, at: Int(Rig.semaphore) + 64)
    rig.gpu.vram.store(second, at: Int(Rig.semaphore) + 72)
    let bytes = rig.fill(Rig.data, 4096, seed: 10)
    channel.push(4, ClassC0B5.SET_RENDER_ENABLE_A, [0, UInt32(Rig.semaphore) + 64, mode])
    channel.copy(Rig.data, Rig.data + 0x10_0000, 4096, linear)
    try channel.kick()
    #expect((rig.bytes(Rig.data + 0x10_0000, 4096) == bytes) == moves, "mode \(mode)")
  }

  @Test func manyLaunches_overrunTheQueueInOrder() throws {
    let rig = try Rig()
    let channel = try rig.copyChannel()
    let bytes = rig.fill(Rig.data, 4096, seed: 11)
    for index in 0..<100 {
      // Each copies what the one before wrote.
      let from = Rig.data + UInt64(index) * 4096
      channel.copy(from, from + 4096, 4096, linear)
    }
    channel.fence(1)
    try channel.kick()
    #expect(rig.bytes(Rig.data + 100 * 4096, 4096) == bytes)
    #expect(rig.gpu.launchesCompleted == 100)
    #expect(rig.word(Rig.semaphore) == 1)
  }

  @Test func realTime_movesTheSameBytes() throws {
    let rig = try Rig(mode: .realTime)
    let channel = try rig.copyChannel()
    let bytes = rig.fill(Rig.data, 1 << 20, seed: 12)
    channel.copy(Rig.data, Rig.data + 0x40_0000, 1 << 20, linear)
    channel.fence(1)
    try channel.kick()
    #expect(rig.bytes(Rig.data + 0x40_0000, 1 << 20) == bytes)
    #expect(rig.word(Rig.semaphore) == 1)
  }

  @Test func trace_showsWhatTheEngineDid() throws {
    let rig = try Rig(trace: Trace(isOn: true))
    let channel = try rig.copyChannel()
    channel.copy(Rig.data, Rig.data + 0x40_0000, 366_000, linear)
    channel.fence(3)
    try channel.kick()
    let copy = try #require(rig.kernel.trace.events.first { $0.kind.name == "gpu.copy" })
    #expect(rig.kernel.trace.rows[copy.row.index].name == "ce0")
    #expect(rig.kernel.trace.rows[copy.row.index].group == .engines)
    #expect(copy.duration == 2_000, "1 µs to launch, 366 kB at 366 GB/s")
    #expect(copy.b == 366_000)
    let release = try #require(
      rig.kernel.trace.events.first { $0.kind.name == "gpu.semaphore_release" })
    #expect(release.time >= copy.time + copy.duration)
  }
}
