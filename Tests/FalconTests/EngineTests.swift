import Testing

@testable import Falcon

/// The copy unit driven by the host's register window, without microcode.
private struct UnitHarness {
  let machine = PCOPYMachine(code: [], data: [])

  init() {
    // Ports 1 and 2 lead to video memory.
    machine.core.hostWrite(4, to: 0x604)
    machine.core.hostWrite(4, to: 0x608)
    write(.lineCount, 1)
    write(.sourceAddressLow, 0x1000)
    write(.destinationAddressLow, 0x2000)
    write(.sourceLineBytes, 32)
    write(.destinationLineBytes, 32)
    try? machine.memory.write((1...64).map { UInt8($0) }, to: .videoMemory, at: 0x1000)
  }

  func write(_ register: PCOPYRegister, _ value: UInt32) {
    machine.core.hostWrite(value, to: register.rawValue)
  }
  func read(_ register: PCOPYRegister) -> UInt32 { machine.core.hostRead(register.rawValue) }
  func go(_ control: UInt32) {
    write(.control, control | 1 << 26 | 2 << 29 | 1)
    machine.core.run(cycles: 1000)
  }
  var copied: [UInt8] { Array(machine.memory.videoMemory[0x2000..<0x2020]) }
  var events: [FalconEvent] { machine.core.events }
}

@Test func copyUnit_isBusyForItsTimeThenWritesAndInterrupts() {
  let unit = UnitHarness()
  unit.write(.interruptEnable, 3)
  unit.write(.control, 1 << 26 | 2 << 29 | 1 << 4 | 1)
  #expect(unit.read(.control) & 1 == 1)
  #expect(unit.machine.core.hostRead(0x04c) == 2)
  #expect(unit.copied.allSatisfy { $0 == 0 })
  unit.machine.core.run(cycles: 1000)
  #expect(unit.read(.control) & 1 == 0)
  #expect(unit.copied == (1...32).map { UInt8($0) })
  #expect(unit.read(.interrupt) == 2)
  #expect(unit.machine.core.hostRead(0x008) >> 11 & 1 == 1)
  unit.write(.interrupt, 2)
  #expect(unit.machine.core.hostRead(0x008) >> 11 & 1 == 0)
  #expect(unit.events.isEmpty)
}

@Test func observer_hearsOfEachCopy() {
  final class Observer: PCOPYObserver {
    var copies: [PCOPYCopy] = []
    func pcopyDidCopy(_ copy: PCOPYCopy) { copies.append(copy) }
  }
  let unit = UnitHarness()
  let observer = Observer()
  unit.machine.engine.observer = observer
  unit.go(0)
  #expect(observer.copies.count == 1)
  #expect(observer.copies.first?.source == .videoMemory)
  #expect(observer.copies.first?.destinationAddress == 0x2000)
  #expect(observer.copies.first?.lineBytes == 32)
}

@Test func blockingInterrupt_holdsTheNextCopy() {
  let unit = UnitHarness()
  unit.go(1 << 4 | 1 << 5)
  #expect(unit.read(.interrupt) == 1)
  #expect(unit.read(.status) == 1 << 9)
  unit.write(.sourceAddressLow, 0x1010)
  unit.go(0)
  #expect(unit.read(.control) & 1 == 1)
  #expect(unit.copied[0] == 1)
  unit.write(.interrupt, 1)
  unit.machine.core.run(cycles: 1000)
  #expect(unit.copied[0] == 17)
  #expect(unit.events.isEmpty)
}

@Test func withoutMultiLine_onlyOneLineIsCopied() {
  let unit = UnitHarness()
  unit.write(.lineCount, 2)
  unit.write(.sourceLineBytes, 4)
  unit.write(.destinationLineBytes, 4)
  unit.write(.sourcePitch, 8)
  unit.write(.destinationPitch, 6)
  unit.go(0)
  #expect(unit.copied.prefix(10) == [1, 2, 3, 4, 0, 0, 0, 0, 0, 0])
  unit.go(1 << 6)
  #expect(unit.copied.prefix(10) == [1, 2, 3, 4, 0, 0, 9, 10, 11, 12])
}

@Test func copyUnitProblems_areNamedAndHang() {
  func problem(_ change: (UnitHarness) -> Void, control: UInt32 = 0) -> FalconEvent? {
    let unit = UnitHarness()
    change(unit)
    unit.go(control)
    #expect(unit.read(.control) & 1 == 1, "not busy after \(unit.events)")
    #expect(unit.copied.allSatisfy { $0 == 0 })
    return unit.events.first
  }
  #expect(
    problem { $0.write(.sourceLineBytes, 31) }
      == .copyEngine(.lineLengthMismatch(source: 31, destination: 32)))
  #expect(
    problem({ $0.write(.lineCount, 0x2000) }, control: 1 << 6)
      == .copyEngine(.tooLarge(lines: 0x2000, lineBytes: 32)))
  #expect(
    problem { $0.write(.sourceLineBytes, .max) }
      == .copyEngine(.tooLarge(lines: 1, lineBytes: .max)))
  #expect(problem({ _ in }, control: 3 << 1) == .copyEngine(.unknownStartMode))
  #expect(problem({ _ in }, control: 1 << 7) == .copyEngine(.badBlock))
  #expect(
    problem({ $0.write(.swizzleMap0, 0x10) }, control: 1 << 9)
      == .copyEngine(.sourceReferenceMismatch))
  #expect(
    problem({ $0.write(.swizzleMap0, 0x20) }, control: 1 << 9)
      == .copyEngine(.badSwizzleByte(0x20)))
  #expect(
    problem({ $0.write(.swizzleMap0, 0x01) }, control: 1 << 9)
      == .copyEngine(.badSwizzleByte(1)))
  #expect(problem { $0.machine.core.hostWrite(3, to: 0x608) } == .unknownPortType(port: 2, type: 3))
  #expect(problem { $0.machine.core.hostWrite(0, to: 0x604) } == .noChannel(port: 1))
}

@Test func unknownBitsAndOffsets_areEvents() {
  let unit = UnitHarness()
  unit.go(1 << 20)
  unit.machine.core.hostWrite(1, to: 0x84c)
  unit.write(.status, 1)
  unit.machine.core.hostWrite(0x1000, to: 0x600)
  #expect(
    unit.events == [
      .copyEngine(.unknownControlBits(1 << 20)),
      .unimplementedRegister(offset: 0x84c, isWrite: true), .readOnlyRegister(offset: 0x900),
      .unimplementedBits(offset: 0x600, bits: 0x1000),
    ])
  let busy = UnitHarness()
  busy.write(.control, 1 << 26 | 2 << 29 | 1)
  busy.write(.control, 1 << 26 | 2 << 29 | 1)
  #expect(busy.events == [.copyEngine(.triggeredWhileBusy)])
}
