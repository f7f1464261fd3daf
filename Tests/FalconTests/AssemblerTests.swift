import Testing

@testable import Falcon

private func problem(_ source: String) -> FalconAssemblyProblem? {
  do {
    _ = try FalconAssembler.assemble(source, file: "t.s")
    return nil
  } catch {
    return error.problems.first
  }
}

@Test func assembler_knowsTheManualsEncodings() throws {
  // SOURCE: the opcode tables of envytools docs/hw/falcon/isa.rst, worked out by hand.
  let cases: [(String, [UInt8])] = [
    ("clear b32 r0", [0xbd, 0x04]), ("mov sp r0", [0xfe, 0x04, 0x00]),
    ("mov r1 0x400", [0xf1, 0x17, 0x00, 0x04]), ("mov r1 -1", [0xf0, 0x17, 0xff]),
    ("iowr I[r1 + 0x300] r2", [0xd0, 0x12, 0xc0]), ("bset flags ie0", [0xf4, 0x31, 0x10]),
    ("sleep p0", [0xf4, 0x28, 0x00]), ("and r2 r1 8", [0xc4, 0x12, 0x08]),
    ("ld b32 r4 D[r5 + 4]", [0x98, 0x54, 0x01]), ("st b8 D[sp + r8*1] r12", [0x38, 0xc8, 0x01]),
    ("extr r5 r4 16..17", [0xc7, 0x45, 0x30]), ("xdld r4 r5", [0xfa, 0x45, 0x05]),
    ("mulu r3 r1 r2", [0xff, 0x12, 0x30]), ("cmp b32 r7 0xe", [0xb0, 0x76, 0x0e]),
    ("add sp -16", [0xf4, 0x30, 0xf0]), ("iret", [0xf8, 0x01]), ("push r9", [0xf9, 0x90]),
    ("xbit r7 flags p2", [0xf0, 0x7c, 0x02]), ("call r5", [0xf9, 0x55]),
  ]
  for (text, bytes) in cases {
    #expect(try FalconAssembler.instruction(text) == bytes, "\(text)")
  }
}

@Test func branch_growsToTheLongFormWhenItMust() throws {
  let near = try FalconAssembler.assemble("bra e there\n.skip 100\nthere: ret")
  #expect(near.code.count == 3 + 100 + 2)
  let far = try FalconAssembler.assemble("bra e there\n.skip 200\nthere: ret")
  #expect(far.code.count == 4 + 200 + 2)
  #expect(far.code.prefix(4) == [0xf5, 0x0b, 204, 0])
  #expect(far.address(of: "there") == 204)
}

@Test func labelsAndConstants_workInBothSections() throws {
  let program = try FalconAssembler.assemble(
    """
    .equ base (4 + 4) * 0x10 | 1
    .section data
    .b32 0 handler
    table: .b16 base -2
    .align 8
    .section code
      li r1 table      // short
      li r2 0x12345678
    handler: jmp long handler
    """)
  #expect(program.data == [0, 0, 0, 0, 11, 0, 0, 0, 0x81 - 2, 0, 0, 0, 0, 0, 0, 0])
  #expect(program.code.prefix(3) == [0xf0, 0x17, 8])
  #expect(program.code[3..<11] == [0xf1, 0x27, 0x78, 0x56, 0xf1, 0x23, 0x34, 0x12])
  #expect(program.code[11...] == [0xf5, 0x20, 11, 0])
}

@Test(arguments: [
  ("\n  frob r1", 2, 3, "'frob' is no instruction"),
  ("add r1 r2 3", 1, 1, "'add' does not take these operands"),
  ("shl r1 r2 3", 1, 1, "'shl' has no form without a size"),
  ("bra 0x12345", 1, 5, "74565 is out of a branch's reach"),
  ("ret b32", 1, 1, "'ret' has no form with a size"),
  ("add b32 r1 r2 0x10000", 1, 15, "65536 does not fit"),
  ("mov r1 0x8000", 1, 8, "32768 does not fit"),
  ("ld b32 r1 D[r2 + 2]", 1, 11, "offset 2 can't be encoded"),
  ("ld b32 r1 D[r2 + 0x400]", 1, 11, "offset 1024 can't be encoded"),
  ("ld b16 r1 D[r2 + r3*4]", 1, 11, "an index scaled by 4"),
  ("bra nowhere", 1, 5, "'nowhere' is not defined"),
  ("x: ret\nx: ret", 2, 1, "'x' is defined twice"),
  ("r3: ret", 1, 1, "'r3' can't be a name"),
  ("ret 5", 1, 1, "'ret' does not take these operands"),
  (".b8 256", 1, 1, "256 does not fit 8 bits"),
  (".b32 1 / 0", 1, 8, "'/' has no result"),
  (".b32 0x1g", 1, 6, "'0x1g' is no number"),
  (".b32 1 << 64", 1, 8, "a shift by 64"),
  (".b32 (1", 1, 8, "a parenthesis is not closed"),
  (".equ a b\n.equ b a\n.b32 a", 3, 6, "'a' is defined by itself"),
  ("ret @", 1, 5, "a character that has no meaning"),
  (".nonsense 1", 1, 1, "'.nonsense' is no directive"),
  (".align 0", 1, 1, "0 is no size"),
  (".skip 65536\nret", 2, 1, "the code section is larger"),
  ("extr r1 r2 4..40", 1, 12, "no bits 4..40"),
  ("ret unused 0x1", 1, 1, "1 sets bits that this form uses"),
])
func wrongSource_isReportedWithItsPlace(
  source: String, line: Int, column: Int, message: String
) throws {
  let found = try #require(problem(source), "'\(source)' was accepted")
  #expect(found.place == FalconSourcePlace(file: "t.s", line: line, column: column), "\(found)")
  #expect(found.message.hasPrefix(message), "\(found)")
  #expect(!found.remedy.isEmpty)
}

@Test func everyProblemOfASourceIsReportedInOneGo() {
  #expect(throws: FalconAssemblyError.self) { try FalconAssembler.assemble("a b\nc d") }
  do {
    _ = try FalconAssembler.assemble(".b32 0x\n.b32 )\nret @")
    Issue.record("accepted")
  } catch {
    #expect(error.problems.map(\.place.line) == [1, 2, 3])
  }
}
