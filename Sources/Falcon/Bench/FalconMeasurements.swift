/// Programs whose speed is worth knowing; none reads a clock.
package final class FalconMeasurements {
  /// What the interpreter runs.
  package enum Program: CaseIterable, Sendable {
    /// Arithmetic on registers and a branch.
    case registers
    /// Loads, stores, shifts, fields of bits, a call, and branches either way, as in microcode.
    case mixed
  }

  private let core: FalconCore
  private let memory = PCOPYBenchMemory()

  package init(_ program: Program) throws(FalconAssemblyError) {
    let built = try FalconAssembler.assemble(Self.source(program))
    core = FalconCore(memory: memory)
    core.upload(code: built.code, data: built.data)
    core.start()
  }

  /// Runs for so many cycles and gives back how many instructions that was.
  package func run(cycles: UInt64) -> UInt64 {
    let before = core.instructionsRetired
    core.run(cycles: cycles)
    return core.instructionsRetired - before
  }

  /// Why it stands still; nil while it runs, as it does for ever.
  package var stop: FalconStop? { core.stopReason }

  private static func source(_ program: Program) -> String {
    switch program {
    case .registers:
      """
      start: clear b32 r2
      loop:
        add b32 r1 r1 3
        xor r3 r1 0x55
        shl b32 r4 r3 2
        sub b32 r5 r4 r1
        and r6 r5 0x7f
        add b32 r2 1
        or r7 r6 r2
        bra loop
      """
    case .mixed:
      """
      start: mov r0 0x600
        mov sp r0
        clear b32 r10
      loop:
        ld b32 r1 D[r10 + 0x10]
        add b32 r1 r1 r2
        extr r3 r1 4..9
        xbit r4 r1 3
        st b32 D[r10 + 0x14] r1
        cmpu b32 r3 0x20
        bra c small
        sub b32 r2 1
        bra join
      small: add b32 r2 5
      join: call step
        shl b32 r5 r2 3
        and r6 r5 0xff
        cmpu b32 r6 0
        bra ne loop
        bra loop
      step: push r1
        mulu r7 r3 9
        ld b8 r8 D[r10 + 0x14]
        pop r1
        ret
      """
    }
  }
}
