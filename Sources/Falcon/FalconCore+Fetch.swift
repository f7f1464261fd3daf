/// Why no instruction could be fetched.
enum FalconFetchFailure: Error {
  case undefined(pc: UInt32, word: UInt32)
  case missing(pc: UInt32)
  case ambiguous(pc: UInt32)
  case incomplete(pc: UInt32)
}

extension FalconCore {
  /// The instruction at a virtual address, or nil where none can be fetched.
  public func instruction(at pc: UInt32) -> FalconInstruction? {
    if case .success(let instruction) = fetch(at: pc) { return instruction }
    return nil
  }

  func fetch(at pc: UInt32) -> Result<FalconInstruction, FalconFetchFailure> {
    var word: UInt32 = 0
    var length = 1
    var index = 0
    while index < length {
      let address = (pc &+ UInt32(index)) & store.pcMask
      let lookup = pages.virtualLookup(address)
      if lookup >> 31 & 1 == 1 { return .failure(.missing(pc: pc)) }
      if lookup >> 30 & 1 == 1 { return .failure(.ambiguous(pc: pc)) }
      guard lookup >> 24 & FalconCodePages.Flag.usable != 0 else {
        return .failure(.incomplete(pc: pc))
      }
      let byte = store.code8((lookup & 0xff) << 8 | address & 0xff)
      if index == 0 { length = FalconEncoding.length(ofFirstByte: byte) }
      word |= UInt32(byte) << UInt32(index * 8)
      index += 1
    }
    switch FalconDecoder.decode(word: word) {
    case .instruction(let instruction): return .success(instruction)
    case .undefined(let bytes, _): return .failure(.undefined(pc: pc, word: bytes))
    case .truncated: return .failure(.undefined(pc: pc, word: word))
    }
  }

  /// Handles a failed fetch: waits for an upload, traps, or stops.
  func fetchFailed(_ failure: FalconFetchFailure) {
    switch failure {
    case .undefined(let pc, let word):
      trap(at: pc, reason: 8, otherwise: .undefinedInstruction(pc: pc, word: word))
    case .missing(let pc):
      trap(at: pc, reason: 0xa, otherwise: .codePageMissing(pc: pc))
    case .ambiguous(let pc):
      trap(at: pc, reason: 0xb, otherwise: .codePageAmbiguous(pc: pc))
    case .incomplete(let pc):
      // The fetch waits until the page map changes, which only a transfer under way can bring
      // about.
      if transfers.count(.codeLoad) > 0, waitForFirstTransfer(at: pc) { return }
      if stop == nil { halt(.codePageIncomplete(pc: pc)) }
    }
  }

  /// Delivers a trap to the microcode's handler. Without a handler the processor stops: the
  /// hardware would go on at address 0, which only hides the fault.
  /// SOURCE: envytools docs/hw/falcon/intr.rst.
  func trap(at pc: UInt32, reason: UInt32, otherwise: FalconStop) {
    guard store.flags & FalconFlag.trapActive == 0 else {
      halt(.doubleTrap(pc: pc))
      return
    }
    special.tstatus = pc & 0xf_ffff | reason << 20
    guard let vector = special.trapVector else {
      halt(otherwise)
      return
    }
    store.flags |= FalconFlag.trapActive
    pushWord(store.pc)
    store.pc = vector
    store.cycle &+= 4
  }

  /// Code or its mapping changed: prepared instructions are forgotten before the next one runs.
  func codeChanged() {
    codeIsStale = true
    store.limit = 0
  }
}
