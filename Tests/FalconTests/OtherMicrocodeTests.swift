import Testing

@testable import Falcon

/// Microcode in another style than ours: it acknowledges interrupts after the work, keeps no
/// context, takes methods by polling the FIFO until it is empty, and programs the copy unit from
/// raw methods whose number is the register's.
private let otherStyle = """
  .section code
  start:
    clear b32 r0
    mov sp r0
    li r1 handler
    mov iv1 r1
    li r1 0x700
    li r2 0x000cfff3        // lines 2 and 3 to vector 1
    iowr I[r1] r2
    li r2 0xc
    li r1 0x400
    iowrs I[r1] r2
    bset flags ie1
    li r1 0x1200
    li r2 3
    iowr I[r1] r2
    bset flags p5
  wait:
    sleep p5
    jmp wait

  handler:
    iord r9 I[r0 + 0x200]
    xbit r2 r9 3
    bra z methods
    li r3 0x1400
    iord r4 I[r3]
    bclr r4 30
    iowr I[r3] r4
    li r6 0x1600
    li r5 2
    ld b32 r11 D[r0 + 0x44]  // 1 while a channel is loaded
    cmp b32 r11 0
    bra e load
    li r5 1
    clear b32 r11
    bra answer
  load:
    li r11 1
  answer:
    st b32 D[r0 + 0x44] r11
    iowr I[r6] r5
  methods:
    li r3 0x1c00
    iord r4 I[r3]
    cmp b32 r4 0
    bra e done
    li r3 0x1a00
    iord r4 I[r3]
    li r3 0x1900
    iord r5 I[r3]
    li r3 0x7ff
    and r4 r3
    shl b32 r4 8
    iowr I[r4] r5
    li r3 0x1d00
    li r4 1
    iowrs I[r3] r4
    bra methods
  done:
    and r9 0xc
    iowr I[r0 + 0x100] r9
    iret
  """

@Test func microcodeOfAnotherStyle_runsToo() throws {
  let program = try FalconAssembler.assemble(otherStyle, file: "other.s")
  let machine = PCOPYMachine(code: program.code, data: program.data)
  machine.addChannel(0x20)
  machine.addChannel(0x21)
  machine.switchTo(0x20)
  // Two steps, of which the second one is asked for before the first is acknowledged.
  machine.switchTo(0x21)
  #expect(machine.switches == [0x20, 0x21])
  #expect(!machine.core.isSwitchingChannel)
  machine.fill(0x1000, [1, 2, 3, 4, 5, 6, 7, 8], channel: 0x21)
  let registers: [(offset: UInt32, data: UInt32)] = [
    (0x804, 2), (0x808, 0x1000), (0x80c, 0x2000), (0x810, 3), (0x814, 3), (0x828, 4),
    (0x82c, 8), (0x800, 1 << 6 | 1),
  ]
  machine.send(registers)
  #expect(machine.bytes(0x2000, 12, channel: 0x21) == [1, 2, 3, 0, 0, 0, 0, 0, 5, 6, 7, 0])
  #expect(machine.retired.count == registers.count)
  #expect(machine.core.isSleeping)
  #expect(machine.core.events.isEmpty, "\(machine.core.events)")
}
