import Base
import Testing

@testable import Falcon

/// Where each byte of a surface lies, by the formula of the format and not by walking.
private struct PlainSurface {
  var address: UInt64 = 0
  var isLinear = true
  var pitch = 0
  var tile: UInt32 = 0
  var width = 0
  var height = 0
  var x = 0
  var y = 0
  var z = 0

  func offset(byte: Int, line: Int, pixelBytes: Int) -> UInt64 {
    if isLinear { return address + UInt64(line * pitch + byte) }
    let tw = tile & 0xf == 0xe ? 16 : 64
    let th = 8 << Int(tile >> 4 & 0xf)
    let td = 1 << Int(tile >> 8 & 0xf)
    let column = x * pixelBytes + byte
    let row = y + line
    let columns = (width * pixelBytes + tw - 1) / tw
    let rows = (height + th - 1) / th
    let block = (z / td * rows + row / th) * columns + column / tw
    let inside = (z % td * th + row % th) * tw + column % tw
    return address + UInt64(block * tw * th * td + inside)
  }

  /// The methods that describe the surface; `side` is 0 for the source, 1 for the destination.
  func methods(_ side: UInt32) -> [(offset: UInt32, data: UInt32)] {
    let tiled = 0x200 + side * 0x20
    return [
      (0x30c + side * 8, UInt32(address >> 32)),
      (0x310 + side * 8, UInt32(truncatingIfNeeded: address)), (0x31c + side * 4, UInt32(pitch)),
      (tiled, tile), (tiled + 4, UInt32(width)), (tiled + 8, UInt32(height)),
      (tiled + 0xc, UInt32(1)), (tiled + 0x10, UInt32(z)), (tiled + 0x14, UInt32(x)),
      (tiled + 0x18, UInt32(y)),
    ]
  }
}

private func ready(base: UInt64 = 0) throws -> PCOPYMachine {
  let container = try Firmware.container()
  let machine = PCOPYMachine(code: container.code, data: container.data, base: base)
  machine.addChannel()
  machine.switchTo(PCOPYMachine.channel)
  #expect(machine.switches == [PCOPYMachine.channel])
  return machine
}

private func pattern(_ count: Int, seed: UInt64) -> [UInt8] {
  var random = SplitMix64(seed: seed)
  return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
}

@Test func boot_sleepsAndOpensTheEngine() throws {
  let container = try Firmware.container()
  let machine = PCOPYMachine(code: container.code, data: container.data)
  #expect(machine.core.isSleeping)
  #expect(machine.core.hostRead(FalconRegister.accessEnable.rawValue) == 3)
  #expect(machine.core.hostRead(FalconRegister.interruptRouting.rawValue) == 0xfff3)
  #expect(machine.core.events.isEmpty)
}

@Test func linearCopy_movesEachLine() throws {
  let machine = try ready(base: 0x12_3450_0000)
  let bytes = pattern(0x4000, seed: 1)
  machine.fill(0x10000, bytes)
  let source = PlainSurface(address: machine.memory.base + 0x10003, pitch: 300)
  let destination = PlainSurface(address: machine.memory.base + 0x20005, pitch: 0x200)
  machine.send(
    source.methods(0) + destination.methods(1) + [(0x324, 291), (0x328, 17), (0x300, 0x110)])
  for line in 0..<17 {
    let from = 3 + line * 300
    #expect(
      machine.bytes(0x20005 + UInt64(line) * 0x200, 291) == Array(bytes[from..<from + 291]),
      "line \(line)")
  }
  #expect(machine.bytes(0x20005 + 291, 1) == [0], "one byte too many")
  #expect(machine.core.events.isEmpty)
  #expect(machine.engine.completedBytes == 291 * 17)
}

@Test(arguments: 0..<40 as Range<UInt64>)
func copyBetweenLayouts_matchesTheFormula(seed: UInt64) throws {
  var random = SplitMix64(seed: seed)
  let machine = try ready(base: 0x80_0000_0000)
  machine.fill(0x10000, pattern(0x60000, seed: seed))
  let pixelCount = 1 + random.below(90)
  let lines = 1 + random.below(40)
  // Every fourth case uses FORMAT: pixels of several bytes, so that columns are not bytes.
  let bytesPerComponent = seed % 4 == 3 ? 1 + random.below(4) : 1
  let components = seed % 4 == 3 ? 1 + random.below(4) : 1
  let pixelBytes = bytesPerComponent * components
  func surface(_ address: UInt64, linear: Bool) -> PlainSurface {
    let x = random.below(30)
    let y = random.below(50)
    return PlainSurface(
      address: machine.memory.base + address, isLinear: linear,
      pitch: pixelCount * pixelBytes + random.below(64),
      tile: (random.chance(1, in: 3) ? 0xe : 0) | UInt32(random.below(3)) << 4
        | UInt32(random.below(3)) << 8, width: x + pixelCount + random.below(20),
      height: y + lines + random.below(20), x: x, y: y, z: random.below(5))
  }
  let source = surface(0x10000, linear: seed % 3 == 0)
  let destination = surface(0x80000, linear: seed % 3 == 1)
  let before = machine.bytes(0, FlatMemory.bytes)
  var methods = source.methods(0) + destination.methods(1)
  var exec: UInt32 = (source.isLinear ? 0x10 : 0) | (destination.isLinear ? 0x100 : 0)
  if seed % 4 == 3 {
    exec |= 1
    let code = UInt32(components - 1)
    methods.append(
      (0x32c, 0x3210 | UInt32(bytesPerComponent - 1) << 16 | code << 20 | code << 24))
  }
  methods += [(0x324, UInt32(pixelCount)), (0x328, UInt32(lines)), (0x300, exec)]
  machine.send(methods)
  var expected = before
  let base = machine.memory.base
  for line in 0..<lines {
    for byte in 0..<pixelCount * pixelBytes {
      let from = source.offset(byte: byte, line: line, pixelBytes: pixelBytes) - base
      let to = destination.offset(byte: byte, line: line, pixelBytes: pixelBytes) - base
      expected[Int(to)] = before[Int(from)]
    }
  }
  #expect(machine.bytes(0, FlatMemory.bytes) == expected, "seed \(seed)")
  #expect(machine.core.events.isEmpty, "seed \(seed): \(machine.core.events)")
}

@Test func swizzle_picksComponentsConstantsAndZero() throws {
  let machine = try ready()
  machine.fill(0x10000, [1, 2, 3, 4, 5, 6, 7, 8])
  // Source: two components of two bytes; destination: four, (1, constant 0, zero, 0).
  let format: UInt32 = 0x0_6_4_1 | 1 << 16 | 1 << 20 | 3 << 24
  machine.send(
    PlainSurface(address: 0x10000, pitch: 8).methods(0)
      + PlainSurface(address: 0x20000, pitch: 16).methods(1)
      + [
        (0x330, 0xaabb), (0x334, 0xccdd), (0x32c, format), (0x324, 2), (0x328, 1),
        (0x300, 0x111),
      ])
  #expect(
    machine.bytes(0x20000, 16) == [3, 4, 0xbb, 0xaa, 0, 0, 1, 2, 7, 8, 0xbb, 0xaa, 0, 0, 5, 6])
  // A fill: constants only, no source byte is read.
  let fill: UInt32 = 0x5 | 1 << 16
  machine.send([(0x32c, fill), (0x324, 3), (0x300, 0x111)])
  #expect(machine.bytes(0x20000, 8) == [0xdd, 0xcc, 0xdd, 0xcc, 0xdd, 0xcc, 1, 2])
  #expect(machine.core.events.isEmpty, "\(machine.core.events)")
}

@Test func query_writesCounterAndTime() throws {
  let machine = try ready()
  let surfaces =
    PlainSurface(address: 0x10000, pitch: 16).methods(0)
    + PlainSurface(address: 0x20000, pitch: 16).methods(1)
  machine.send(surfaces + [(0x324, 16), (0x328, 1), (0x33c, 0x30000), (0x340, 0xcafe_f00d)])
  machine.fill(0x30000, Array(repeating: 0x55, count: 24))
  machine.send([(0x300, 0x1110)])
  #expect(
    machine.bytes(0x30000, 20) == [
      0x0d, 0xf0, 0xfe, 0xca, 0, 0, 0, 0, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0x55,
      0x55, 0x55, 0x55,
    ])
  machine.fill(0x30000, Array(repeating: 0x55, count: 24))
  machine.send([(0x300, 0x3110)])
  #expect(machine.bytes(0x30000, 8) == [0x0d, 0xf0, 0xfe, 0xca, 0x55, 0x55, 0x55, 0x55])
  #expect(machine.core.events.isEmpty)
}

@Test(arguments: [
  (UInt32(0x104), UInt32(7), UInt32(1)), (0x23c, 0, 1), (0x1ffc, 0, 1), (0x308, 0, 1),
  (0x324, 0x10000, 3), (0x30c, 0x100, 3), (0x32c, 0x0400_0000, 3), (0x200, 0x1000, 3),
])
func wrongMethods_areReportedToTheHost(offset: UInt32, data: UInt32, code: UInt32) throws {
  let machine = try ready()
  #expect(machine.core.push(FalconMethod(subchannel: 5, offset: offset, data: data)))
  machine.settle(10000)
  #expect(machine.interrupted)
  let status = machine.core.hostRead(0x040)
  // SOURCE: the host's decoding of the scratch registers after a dispatch error.
  #expect(status & 0xffff == code)
  #expect((status >> 16 & 0x7ff) << 2 == offset)
  #expect((status >> 16 & 0x3800) >> 11 == 5)
  #expect(machine.core.hostRead(0x044) == data)
  #expect(machine.core.hostRead(0x008) & 0x40 != 0)
  #expect(machine.retired.isEmpty, "the method stays until the host has looked")
  machine.core.hostWrite(0x40, to: 0x004)
  machine.settle(10000)
  #expect(machine.retired.count == 1)
  #expect(machine.core.isSleeping)
}

@Test func valuesWithoutMeaning_areDispatchError2() throws {
  for methods: [(offset: UInt32, data: UInt32)] in [
    [(0x32c, 0x1), (0x300, 0x111)],  // component 1 of a source that has one
    [(0x200, 0x005), (0x300, 0x100)],  // a block width that does not exist
    [(0x220, 0x060), (0x300, 0x010)], [(0x220, 0x700), (0x300, 0x010)],
  ] {
    let machine = try ready()
    for (offset, data) in methods {
      #expect(machine.core.push(FalconMethod(offset: offset, data: data)))
    }
    machine.settle(20000)
    #expect(machine.core.hostRead(0x040) == 0xc0 << 16 | 2)
    #expect(!machine.engine.isBusy)
    machine.core.hostWrite(0x40, to: 0x004)
    machine.settle(20000)
    #expect(machine.core.isSleeping)
    #expect(machine.core.events.isEmpty)
  }
}

@Test func otherMethods_doWhatTheySay() throws {
  let machine = try ready()
  machine.send([(0x000, 0x1234), (0x100, 0), (0x140, 0), (0x304, 0)])
  #expect(machine.retired.count == 4)
  #expect(machine.core.writeCacheFlushes == 1)
  #expect(machine.core.performanceTriggers == 1)
  #expect(!machine.interrupted)
}

@Test func fifo_takesNoMoreThanItsDepth() throws {
  let machine = try ready()
  machine.core.hostWrite(0, to: 0x018)
  var accepted = 0
  while machine.core.push(FalconMethod(offset: 0x100, data: 0)) { accepted += 1 }
  #expect(accepted == 16)
  #expect(machine.core.hostRead(0x070) == 16)
  machine.core.hostWrite(4, to: 0x078)
  machine.settle()
  accepted = 0
  while machine.core.push(FalconMethod(offset: 0x100, data: 0)) { accepted += 1 }
  #expect(accepted == 4)
  _ = machine.core.takeEvents()
  machine.settle()
  #expect(machine.core.hostRead(0x064) == 0)
  #expect(machine.core.events == [.emptyFIFO(offset: 0x064)])
}

@Test(arguments: [UInt32(0), 1])
func channelSwitch_keepsEachChannelsState(instance: UInt32) throws {
  let container = try Firmware.container()
  let machine = PCOPYMachine(code: container.code, data: container.data, instance: instance)
  let (first, second) = (UInt32(0x20), UInt32(0x31))
  for channel in [first, second] {
    machine.addChannel(channel, instance: instance)
    machine.fill(0x10000, pattern(64, seed: UInt64(channel)), channel: channel)
  }
  machine.switchTo(first)
  let surfaces =
    PlainSurface(address: 0x10000, pitch: 64).methods(0)
    + PlainSurface(address: 0x20000, pitch: 64).methods(1)
  machine.send(surfaces + [(0x324, 64), (0x328, 1)])
  machine.switchTo(second)
  machine.send(surfaces + [(0x324, 16), (0x328, 1), (0x300, 0x110)])
  machine.switchTo(first)
  machine.send([(0x300, 0x110)])
  machine.switchTo(nil)
  #expect(machine.switches == [first, second, first, nil])
  #expect(machine.core.currentChannel == nil)
  #expect(machine.bytes(0x20000, 64, channel: first) == pattern(64, seed: UInt64(first)))
  let short = machine.bytes(0x20000, 64, channel: second)
  #expect(short == pattern(16, seed: UInt64(second)) + Array(repeating: 0, count: 48))
  #expect(machine.core.events.isEmpty, "\(machine.core.events)")
}

@Test func copyIntoNowhere_hangsTheEngineUntilReset() throws {
  let machine = try ready()
  machine.send(
    PlainSurface(address: 0x10000, pitch: 64).methods(0)
      + PlainSurface(address: 0xff_0000_0000, pitch: 64).methods(1)
      + [(0x324, 64), (0x328, 1), (0x300, 0x110)])
  #expect(machine.engine.isBusy)
  guard case .memoryFault(let fault) = machine.core.events.first else {
    Issue.record("\(machine.core.events)")
    return
  }
  #expect(fault.isWrite && fault.address == 0xff_0000_0000)
  machine.core.reset()
  #expect(!machine.engine.isBusy)
  #expect(machine.core.stopReason == .reset)
  let container = try Firmware.container()
  machine.core.upload(code: container.code, data: container.data)
  machine.core.start()
  machine.settle(1000)
  #expect(machine.core.isSleeping)
}
