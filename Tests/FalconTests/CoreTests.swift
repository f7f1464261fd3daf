import Testing

@testable import Falcon

@Test func loadsAndStores_addressDataMemoryByBytes() throws {
  let harness = try CoreHarness(
    """
    clear b32 r0
    li r1 0x11223344
    st b32 D[r0 + 0x10] r1
    li r2 0x10
    st b8 D[r2] r0
    li r3 1
    ld b16 r4 D[r2 + r3*2]
    ld b8 r5 D[r2 + 1]
    li r6 0x20
    mov sp r6
    st b16 D[sp + 2] r1
    st b32 D[sp + r3*4] r1
    ld b32 r7 D[sp + 0]
    ld b32 r8 D[sp + r3*4]
    exit
    """)
  harness.run()
  #expect(harness.data(at: 0x10) == [0x1122_3300])
  #expect(harness.register(4) == 0x1122)
  #expect(harness.register(5) == 0x33)
  #expect(harness.register(7) == 0x3344_0000)
  #expect(harness.register(8) == 0x1122_3344)
  #expect(harness.core.events.isEmpty)
}

@Test func oddAccesses_areEventsAndGarbleStoresAsHardwareDoes() throws {
  let harness = try CoreHarness(
    """
    clear b32 r0
    li r1 0x11223344
    li r2 0x11
    st b32 D[r2] r1
    li r2 0x16
    st b32 D[r2] r1
    li r2 0x800
    st b32 D[r2] r1
    ld b32 r3 D[r2 + 0]
    exit
    """)
  harness.run()
  #expect(harness.data(at: 0x10, count: 2) == [0x0000_4400, 0x3344_0000])
  #expect(harness.register(3) == 0)
  #expect(
    harness.core.events.map { event in
      switch event {
      case .dataMisaligned(let address, _): "odd \(address)"
      case .dataOutOfRange(let address, _): "out \(address)"
      default: "other"
      }
    } == ["odd 17", "odd 22", "out 2048", "out 2048"])
}

@Test func callsAndStack_wrapInsideDataMemory() throws {
  let harness = try CoreHarness(
    """
    clear b32 r0
    mov sp r0
    call sub1
    mov r2 sp
    add sp -8
    mov r3 sp
    li r4 12
    add sp r4
    mov r5 sp
    exit
    sub1: push r0
    mov r1 sp
    pop r0
    li r9 sub2
    call r9
    ret
    sub2: li r8 77
    ret
    """)
  #expect(harness.run() == .stopped(.exit(pc: 25)))
  #expect(harness.register(1) == 0x7f8)
  #expect(harness.register(2) == 0)
  #expect(harness.register(3) == 0x7f8)
  #expect(harness.register(5) == 4)
  #expect(harness.register(8) == 77)
}

@Test func undefinedOpcode_stopsWithItsAddress() throws {
  let harness = try CoreHarness("mov r1 5\n.b8 0xf8 0x05\nexit")
  #expect(harness.run() == .stopped(.undefinedInstruction(pc: 3, word: 0x5f8)))
  #expect(harness.core.hostRead(FalconRegister.control.rawValue) == 1 << 4)
  #expect(harness.core.hostRead(FalconRegister.programCounter.rawValue) == 3)
}

@Test func trapVector_takesTrapsAndASecondOneStops() throws {
  let harness = try CoreHarness(
    """
    clear b32 r0
    mov sp r0
    li r1 handler
    mov tv r1
    trap2
    back: li r5 1
    .b8 0xf8 0x05
    handler:
    mov r2 tstatus
    mov r3 flags
    add b32 r4 1
    cmpu b32 r4 2
    bra e twice
    bclr flags ta
    ret
    twice: trap1
    """)
  guard case .stopped(.doubleTrap) = harness.run() else {
    Issue.record("\(String(describing: harness.core.stopReason))")
    return
  }
  #expect(harness.register(5) == 1)
  #expect(harness.register(2) >> 20 == 8)
  #expect(harness.register(3) & 1 << 24 != 0)
}

@Test func unimplementedThings_areNamed() throws {
  let harness = try CoreHarness(
    """
    li r1 0x3c00
    iowr I[r1] r0
    iord r2 I[r1 + 0]
    mov r3 cx
    mov cauth r3
    mov pc r3
    iords r4 I[r1 + 0]
    """)
  #expect(harness.run() == .stopped(.unimplementedInstruction(pc: 19, mnemonic: "iords")))
  #expect(
    harness.core.takeEvents() == [
      .unimplementedIO(address: 0x3c00, isWrite: true, pc: 4),
      .unimplementedIO(address: 0x3c00, isWrite: false, pc: 7),
      .unimplementedSpecial(number: 9, isWrite: false, pc: 10),
      .unimplementedSpecial(number: 10, isWrite: true, pc: 13),
      .readOnlySpecial(number: 5, pc: 16),
    ])
  #expect(harness.core.hostRead(0x240) == 0)
  harness.core.hostWrite(1, to: 0x3c0)
  #expect(
    harness.core.events == [
      .unimplementedRegister(offset: 0x240, isWrite: false),
      .unimplementedRegister(offset: 0x3c0, isWrite: true),
    ])
}

@Test func uploadPorts_incrementAndMapPages() throws {
  let core = FalconCore(memory: FlatMemory())
  core.hostWrite(1 << 24 | 0x100, to: 0x180)
  core.hostWrite(5, to: 0x188)
  for word in 0..<0x40 {
    // Not usable before its last word is there.
    core.hostWrite(3 << 24 | 0x500, to: 0x140)
    #expect(core.hostRead(0x144) >> 24 & 3 == (word == 0 ? 0 : 2))
    core.hostWrite(UInt32(word), to: 0x184)
  }
  core.hostWrite(3 << 24 | 0x5ff, to: 0x140)
  #expect(core.hostRead(0x144) == 1 << 24 | 1)
  core.hostWrite(2 << 24 | 1, to: 0x140)
  #expect(core.hostRead(0x144) == 1 << 24 | 5 << 8)
  core.hostWrite(1 << 25 | 0x104, to: 0x180)
  #expect((0..<3).map { _ in core.hostRead(0x184) } == [1, 2, 3])
  #expect(core.hostRead(0x180) == 1 << 25 | 0x110)
  core.hostWrite(1 << 24 | 1, to: 0x140)
  core.hostWrite(3 << 24 | 0x500, to: 0x140)
  #expect(core.hostRead(0x144) >> 31 == 1)
  core.hostWrite(0x1200, to: 0x180)
  core.hostWrite(1, to: 0x184)
  #expect(core.takeEvents() == [.uploadOutOfRange(address: 0x1200)])
  #expect(core.hostRead(0x108) == 0x12 | 8 << 9 | 0x10 << 18 | 8 << 26)
  #expect(core.hostRead(0x12c) == 0x0007_1103)
}

@Test func missingCodePage_stopsOrTraps() throws {
  let harness = try CoreHarness("jmp 0x1000")
  #expect(harness.run() == .stopped(.codePageMissing(pc: 0x1000)))
}

@Test func interrupts_reachTheirDestination() throws {
  let harness = try CoreHarness(
    """
    clear b32 r0
    mov sp r0
    li r1 h0
    mov iv0 r1
    li r1 h1
    mov iv1 r1
    bset flags ie0
    bset flags ie1
    bset flags p0
    wait: sleep p0
    bra wait
    h0: add b32 r2 1
    mov r5 flags
    li r3 0x40
    iowr I[r0 + 0x100] r3
    iret
    h1: add b32 r4 1
    li r3 0x80
    iowr I[r0 + 0x100] r3
    iret
    """)
  let core = harness.core
  core.hostWrite(0x0010_0000 << 3, to: 0x01c)  // line 7 (bit 23) to vector 1
  core.hostWrite(0xffff, to: 0x010)
  harness.run()
  #expect(core.isSleeping)
  core.hostWrite(0x40, to: 0x000)
  core.run(cycles: 1000)
  #expect(harness.register(2) == 1)
  // Inside a handler both enables are clear and saved.
  #expect(harness.register(5) & 0x0033_0000 == 0x0030_0000)
  #expect(core.flags & 0x3_0000 == 0x3_0000)
  core.hostWrite(0x80, to: 0x000)
  core.run(cycles: 1000)
  #expect(harness.register(4) == 1)
  #expect(core.isSleeping)
  // A masked line waits; a level line ignores SET.
  core.hostWrite(0x40, to: 0x014)
  core.hostWrite(0x44, to: 0x000)
  core.run(cycles: 1000)
  #expect(harness.register(2) == 1)
  #expect(core.hostRead(0x008) == 0x40)
  core.hostWrite(0x40, to: 0x010)
  core.run(cycles: 1000)
  #expect(harness.register(2) == 2)
  // Selector 1 is the chip's line.
  core.hostWrite(0x40, to: 0x01c)
  core.hostWrite(0x40, to: 0x000)
  #expect(core.hostInterrupt)
  core.hostWrite(0x40, to: 0x004)
  #expect(!core.hostInterrupt)
}

@Test func timers_countCoreCycles() throws {
  let harness = try CoreHarness(
    """
    clear b32 r0
    mov sp r0
    li r1 handler
    mov iv0 r1
    bset flags ie0
    bset flags p0
    wait: sleep p0
    bra wait
    handler: iord r3 I[r0 + 0x200]
    li r4 3
    iowr I[r0 + 0x100] r4
    add b32 r2 1
    iret
    """)
  let core = harness.core
  core.hostWrite(3, to: 0x010)
  core.hostWrite(999, to: 0x020)
  core.hostWrite(999, to: 0x024)
  core.hostWrite(1, to: 0x028)
  harness.run(10_500)
  #expect(harness.register(2) == 10)
  core.hostWrite(0, to: 0x028)
  core.hostWrite(50, to: 0x034)
  core.hostWrite(1, to: 0x038)
  core.run(cycles: 1000)
  #expect(harness.register(2) == 11)
  #expect(harness.register(3) == 2)
  #expect(core.hostRead(0x034) == 0)
}

@Test func transfers_moveDataAndCode() throws {
  let harness = try CoreHarness(
    """
    clear b32 r0
    li r1 0x5000            // code load: port 0; loads through port 0, stores through port 5
    mov xtargets r1
    li r1 0x10
    mov xdbase r1           // 0x1000
    mov xcbase r1
    li r2 (3 << 16) | 0x40  // 32 bytes at D[0x40]
    li r3 0x20
    xdld r3 r2
    xdwait
    ld b32 r4 D[r0 + 0x44]
    li r2 0x40
    xdst r0 r2              // 4 bytes to 0x1000 of port 5
    xdwait
    li r5 0x800             // page at virtual 0x800 from 0x1800 into physical page 3
    li r6 0x300
    xcld r5 r6
    xcwait
    vtlb r7 r5
    li r8 3
    ptlb r9 r8
    itlb r8
    vtlb r10 r5
    exit
    """)
  let core = harness.core
  core.hostWrite(4, to: 0x600)
  core.hostWrite(4, to: 0x614)
  try harness.memory.write((0..<64).map { UInt8($0) }, to: .videoMemory, at: 0x1020)
  #expect(core.hostRead(0x600) == 4)
  guard case .stopped(.exit) = harness.run() else {
    Issue.record("\(String(describing: core.stopReason)) \(core.events)")
    return
  }
  #expect(harness.register(4) == 0x0706_0504)
  #expect(try harness.memory.read(.videoMemory, at: 0x1000, count: 4) == [0, 1, 2, 3])
  #expect(harness.register(7) == 1 << 24 | 3)
  #expect(harness.register(9) == 1 << 24 | 8 << 8)
  #expect(harness.register(10) >> 31 == 1)
  #expect(core.events.isEmpty)
}

@Test func hostTransfer_loadsAPageAndStartsIt() throws {
  // SOURCE: the self-boot order for a microcode image in video memory.
  let program = try FalconAssembler.assemble("li r1 42\nexit\n.align 0x100")
  let memory = FlatMemory()
  try memory.write(program.code, to: .videoMemory, at: 0x4200)
  let core = FalconCore(memory: memory)
  core.hostWrite(0x114, to: 0x618)
  core.hostWrite(0, to: 0x11c)
  core.hostWrite(0x42, to: 0x110)
  core.hostWrite(0, to: 0x114)
  core.hostWrite(0x6610, to: 0x118)
  core.hostWrite(2, to: 0x100)
  #expect(core.run(cycles: 1000) == .stopped(.exit(pc: 3)))
  #expect(core.generalRegisters[1] == 42)
  #expect(core.events.isEmpty)
}

@Test func badTransfers_areEventsOrAStandstill() throws {
  let harness = try CoreHarness(
    """
    li r1 (2 << 16) | 4     // 16 bytes at an address that is no multiple of 16
    xdld r0 r1
    li r1 (7 << 16)
    xdld r0 r1
    li r1 0
    xdld r0 r1              // port 0 is the channel's, and there is none
    xdwait
    """)
  guard case .stopped(.transferFault) = harness.run() else {
    Issue.record("\(String(describing: harness.core.stopReason))")
    return
  }
  #expect(harness.core.events.count == 3)
  #expect(harness.core.events.last == .noChannel(port: 0))
}

@Test func trace_seesInstructionsInOrder() throws {
  final class Sink: FalconTraceSink {
    var lines: [String] = []
    func falconWillExecute(_ instruction: FalconInstruction, at pc: UInt32, cycle: UInt64) {
      lines.append("\(pc) \(FalconDisassembler.text(instruction, at: pc))")
    }
    func falconDidAccessIO(address: UInt32, value: UInt32, isWrite: Bool, cycle: UInt64) {
      lines.append("\(isWrite ? "write" : "read") \(address) \(value)")
    }
    func falconDidTakeInterrupt(vector: Int, pending: UInt32, cycle: UInt64) {}
  }
  let harness = try CoreHarness("li r1 0x1000\niowr I[r1] r1\nbra end\n.skip 4\nend: exit")
  let sink = Sink()
  harness.core.trace = sink
  harness.run()
  #expect(
    sink.lines == [
      "0 mov r1 0x1000", "4 iowr I[r1] r1", "write 4096 4096",
      "7 bra 0xe", "14 exit",
    ])
}

@Test func cycles_areThoseOfTheManual() throws {
  // mov, div (32), a branch not taken, a taken one to a target in one word (4), exit.
  let harness = try CoreHarness(
    "mov r1 5\ndiv r1 r1 2\nbra c away\nbra away\n.align 4\naway: exit")
  let before = harness.core.cycle
  harness.run()
  #expect(harness.core.cycle - before == 1 + 32 + 1 + 4 + 1)
}
