/// Something that the falcon met and that this model or the hardware does not define.
///
/// None is silent: a test that drives a falcon checks that ``FalconCore/events`` is empty.
public enum FalconEvent: Hashable, Sendable {
  /// A host access to an offset that has no register here; a read gave zero.
  case unimplementedRegister(offset: UInt32, isWrite: Bool)
  /// An I/O access by the microcode; `pc` is the instruction's address.
  case unimplementedIO(address: UInt32, isWrite: Bool, pc: UInt32)
  /// A bit of a register that this model does not know was set.
  case unimplementedBits(offset: UInt32, bits: UInt32)
  /// A special register that this unit lacks.
  case unimplementedSpecial(number: UInt8, isWrite: Bool, pc: UInt32)
  /// A store to a read-only register.
  case readOnlyRegister(offset: UInt32)
  /// A store to the special register pc or tstatus.
  case readOnlySpecial(number: UInt8, pc: UInt32)
  /// A load or store outside data memory; the access was dropped, a load gave zero.
  case dataOutOfRange(address: UInt32, pc: UInt32)
  /// A load or store that is not aligned; the store's value is garbled as on hardware.
  case dataMisaligned(address: UInt32, pc: UInt32)
  /// An upload outside code or data memory.
  case uploadOutOfRange(address: UInt32)
  /// FIFO_DATA, FIFO_CMD or FIFO_ACK with an empty FIFO.
  case emptyFIFO(offset: UInt32)
  /// CHANNEL_CMD written while no step of a channel switch was asked for, or with another value.
  case unexpectedChannelCommand(UInt32)
  /// A start while the processor runs.
  case startedWhileRunning
  /// A transfer whose size code, alignment or local range is not allowed; it was dropped.
  case badTransfer(FalconTransfer)
  /// A port whose type the memory interface does not know.
  case unknownPortType(port: UInt32, type: UInt32)
  /// A port into a channel's address space while no channel is loaded.
  case noChannel(port: UInt32)
  /// Memory refused an access; the unit that made it stands still until a reset.
  case memoryFault(FalconMemoryFault)
  /// The copy engine was given something that hardware hangs on or that no source describes.
  case copyEngine(PCOPYProblem)
}

/// Why a falcon no longer runs.
public enum FalconStop: Hashable, Sendable {
  /// It was never started, or was reset.
  case reset
  /// The `exit` instruction at this address.
  case exit(pc: UInt32)
  /// Bytes that are no instruction; no trap vector was set.
  case undefinedInstruction(pc: UInt32, word: UInt32)
  /// An instruction that exists, and of which no source says what it does.
  case unimplementedInstruction(pc: UInt32, mnemonic: String)
  /// A fetch from a virtual page that no physical page maps.
  case codePageMissing(pc: UInt32)
  /// A fetch from a virtual page that several physical pages map.
  case codePageAmbiguous(pc: UInt32)
  /// A fetch from a page whose upload is not complete, with no transfer under way.
  case codePageIncomplete(pc: UInt32)
  /// A trap instruction without a trap vector.
  case trap(pc: UInt32, number: UInt32)
  /// A trap inside the trap handler.
  case doubleTrap(pc: UInt32)
  /// A wait for a transfer that a memory fault holds up.
  case transferFault(pc: UInt32, FalconMemoryFault)
}
