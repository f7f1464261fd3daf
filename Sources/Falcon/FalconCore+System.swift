// I/O, transfers, special registers, and what stops or suspends the processor.
extension FalconCore {
  func executeSystem(_ op: FalconMicroOp, at pc: UInt32) {
    switch op.operation {
    case .iord: store[op.d] = readIO(ioAddress(op), pc: pc)
    case .iowr, .iowrs: writeIO(store[op.d], to: ioAddress(op), pc: pc)
    case .iords:
      // No source says how this differs from a plain read.
      store.pc = pc
      halt(.unimplementedInstruction(pc: pc, mnemonic: "iords"))
    case .xcld: submit(.codeLoad, base: special.xcbase, port: special.xtargets, op)
    case .xdld: submit(.dataLoad, base: special.xdbase, port: special.xtargets >> 8, op)
    case .xdst: submit(.dataStore, base: special.xdbase, port: special.xtargets >> 12, op)
    case .xdwait: waitForTransfers(at: pc) { $0.kind != .codeLoad }
    case .xcwait: waitForTransfers(at: pc) { $0.kind == .codeLoad }
    // Transfers are carried out in the order of their requests, so a fence has nothing to hold.
    case .xdfence: break
    case .moveToSpecial: setSpecial(op.d, to: store[op.a], pc: pc)
    case .moveFromSpecial: store[op.d] = readSpecial(op.a, pc: pc)
    case .ptlb: store[op.d] = pages.physicalLookup(store[op.a] & 0xff_ffff)
    case .vtlb: store[op.d] = pages.virtualLookup(store[op.a] & 0xff_ffff)
    case .itlb:
      pages.invalidate(store[op.a] & 0xff_ffff)
      codeChanged()
    case .iret: returnFromInterrupt()
    case .exit: halt(.exit(pc: pc))
    case .sleep:
      guard store.flags &>> (op.imm & 31) & 1 == 1 else { return }
      // An interrupt returns to the sleep instruction, which looks at the flag again.
      store.pc = pc
      sleeping = true
      store.limit = 0
    case .trap: trap(at: pc, reason: op.imm, otherwise: .trap(pc: pc, number: op.imm))
    default: break
    }
  }

  private func ioAddress(_ op: FalconMicroOp) -> UInt32 {
    let index = op.b == FalconMicroOp.Slot.immediate ? op.imm : store[op.b] &<< 2
    return store[op.a] &+ index
  }

  private func returnFromInterrupt() {
    store.pc = store.data32(store.stackPointer)
    store.stackPointer = store.stackPointer &+ 4
    let enables = FalconFlag.interruptEnable0 | FalconFlag.interruptEnable1
    store.flags = store.flags & ~enables | store.flags >> 4 & enables
    store.limit = 0
  }

  private func submit(
    _ kind: FalconTransfer.Kind, base: UInt32, port: UInt32, _ op: FalconMicroOp
  ) {
    let local = store[op.b]
    enqueue(
      FalconTransfer(
        kind: kind, port: port, base: base, offset: store[op.a], local: local,
        sizeCode: local >> 16))
  }

  /// Stands still until every transfer that `matches` is done.
  private func waitForTransfers(at pc: UInt32, _ matches: (FalconTransfer) -> Bool) {
    while transfers.waiting.contains(where: matches) {
      guard waitForFirstTransfer(at: pc) else { return }
    }
  }
}
