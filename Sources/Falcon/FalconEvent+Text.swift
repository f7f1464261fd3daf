extension FalconStop: CustomStringConvertible {
  /// In words, with the address.
  public var description: String {
    func at(_ pc: UInt32) -> String { " at \(FalconNames.hex(pc))" }
    return switch self {
    case .reset: "it was never started"
    case .exit(let pc): "the exit instruction" + at(pc)
    case .undefinedInstruction(let pc, let word):
      "no instruction: \(FalconNames.hex(word))" + at(pc)
    case .unimplementedInstruction(let pc, let mnemonic):
      "\(mnemonic), of which no source says what it does," + at(pc)
    case .codePageMissing(let pc): "no page of code" + at(pc)
    case .codePageAmbiguous(let pc): "several pages of code" + at(pc)
    case .codePageIncomplete(let pc): "a page of code that is not whole" + at(pc)
    case .trap(let pc, let number): "trap \(number) without a trap vector" + at(pc)
    case .doubleTrap(let pc): "a trap inside the trap handler" + at(pc)
    case .transferFault(let pc, let fault): "a wait for a transfer that failed, \(fault)," + at(pc)
    }
  }
}

extension FalconMemoryFault: CustomStringConvertible {
  public var description: String {
    "memory refused a \(isWrite ? "write" : "read") at \(FalconNames.hex(address)) of \(target)"
  }
}

extension FalconMemoryTarget: CustomStringConvertible {
  public var description: String {
    switch self {
    case .channel(let number): "channel \(FalconNames.hex(number))"
    case .videoMemory: "video memory"
    case .systemMemory(let snooped): "system memory\(snooped ? "" : ", not snooped")"
    }
  }
}

extension FalconEvent: CustomStringConvertible {
  /// In words, with the address.
  public var description: String {
    func hex<T: BinaryInteger>(_ value: T) -> String { FalconNames.hex(value) }
    func access(_ isWrite: Bool) -> String { isWrite ? "a write to" : "a read of" }
    return switch self {
    case .unimplementedRegister(let offset, let isWrite):
      "\(access(isWrite)) \(hex(offset)), where no register is known"
    case .unimplementedIO(let address, let isWrite, let pc):
      "\(access(isWrite)) I[\(hex(address))], which is not known, at \(hex(pc))"
    case .unimplementedBits(let offset, let bits):
      "unknown bits \(hex(bits)) of register \(hex(offset))"
    case .unimplementedSpecial(let number, let isWrite, let pc):
      "\(access(isWrite)) special register \(number), which this unit lacks, at \(hex(pc))"
    case .readOnlyRegister(let offset): "a write to the read-only register \(hex(offset))"
    case .readOnlySpecial(let number, let pc):
      "a write to the read-only special register \(number) at \(hex(pc))"
    case .dataOutOfRange(let address, let pc):
      "D[\(hex(address))] is outside data memory, at \(hex(pc))"
    case .dataMisaligned(let address, let pc): "D[\(hex(address))] is not aligned, at \(hex(pc))"
    case .uploadOutOfRange(let address): "an upload to \(hex(address)), outside the memory"
    case .emptyFIFO(let offset): "register \(hex(offset)) used while the FIFO is empty"
    case .unexpectedChannelCommand(let value): "CHANNEL_CMD \(hex(value)), which nobody asked for"
    case .startedWhileRunning: "a start while the processor runs"
    case .badTransfer(let transfer):
      "a transfer of \(transfer.bytes) bytes between \(hex(transfer.address)) and "
        + "\(hex(transfer.local)), which is not aligned or doesn't fit"
    case .unknownPortType(let port, let type): "port \(port) has the unknown type \(type)"
    case .noChannel(let port): "port \(port) leads to a channel, and none is loaded"
    case .memoryFault(let fault): "\(fault)"
    case .copyEngine(let problem): "the copy unit: \(problem)"
    }
  }
}

extension PCOPYProblem: CustomStringConvertible {
  public var description: String {
    switch self {
    case .triggeredWhileBusy: "triggered while a copy runs"
    case .unknownStartMode: "START_MODE 3, which is not known"
    case .unknownControlBits(let bits): "unknown bits \(FalconNames.hex(bits)) of CTRL"
    case .lineLengthMismatch(let source, let destination):
      "lines of \(source) and of \(destination) bytes don't belong together"
    case .sourceReferenceMismatch: "the swizzle and the source's length don't agree on a source"
    case .badSwizzleByte(let byte): "swizzle map byte \(FalconNames.hex(byte)), which is not known"
    case .tooLarge(let lines, let bytes): "\(lines) lines of \(bytes) bytes are too many"
    case .badBlock: "a block-linear surface whose blocks have no height, or less than its lines"
    }
  }
}
