// The DMA unit: requests from instructions and from the host's registers, and the memory ports.
// SOURCE: envytools docs/hw/falcon/xfer.rst.
extension FalconCore {
  /// Puts a transfer into the queue; a full queue makes the processor wait for its head.
  func enqueue(_ transfer: FalconTransfer) {
    let size = UInt32(transfer.bytes)
    let limit = transfer.kind == .codeLoad ? store.codeBytes : store.dataBytes
    guard transfer.sizeCode <= 6, transfer.local & (size - 1) == 0,
      transfer.address & UInt64(size - 1) == 0, transfer.local + size <= limit
    else {
      report(.badTransfer(transfer))
      return
    }
    while transfers.waiting.count >= configuration.transferSlots {
      guard waitForFirstTransfer(at: store.pc) else { return }
    }
    if transfer.kind == .codeLoad {
      pages.begin(Int(transfer.local >> 8), virtual: transfer.offset >> 8)
      codeChanged()
    }
    transfers.append(transfer, at: store.cycle, cost(transfer))
    // A new deadline: let the outer loop see it.
    store.limit = 0
  }

  private func cost(_ transfer: FalconTransfer) -> UInt64 {
    configuration.transferLatency
      &+ UInt64(transfer.bytes / max(1, configuration.transferBytesPerCycle))
  }

  /// Lets time pass to the end of the queue's head. False when a memory fault holds the queue: the
  /// processor is then stopped.
  func waitForFirstTransfer(at pc: UInt32) -> Bool {
    if transfers.fault == nil {
      store.cycle = max(store.cycle, transfers.firstDone)
      completeFirstTransfer()
    }
    guard let fault = transfers.fault else { return true }
    store.pc = pc
    halt(.transferFault(pc: pc, fault))
    return false
  }

  /// Carries out the head of the queue.
  func completeFirstTransfer() {
    guard let transfer = transfers.waiting.first else { return }
    do {
      guard let target = memoryTarget(port: transfer.port) else {
        let target = FalconMemoryTarget.channel(0)
        let isWrite = transfer.kind == .dataStore
        transfers.fault = FalconMemoryFault(
          target: target, address: transfer.address, isWrite: isWrite)
        return
      }
      try carryOut(transfer, target)
    } catch {
      report(.memoryFault(error))
      transfers.fault = error
      return
    }
    transfers.finishFirst(nextCost: cost)
  }

  private func carryOut(
    _ transfer: FalconTransfer, _ target: FalconMemoryTarget
  ) throws(FalconMemoryFault) {
    switch transfer.kind {
    case .dataLoad:
      let bytes = try memory.read(target, at: transfer.address, count: transfer.bytes)
      for (index, byte) in bytes.prefix(transfer.bytes).enumerated() {
        store.setData8(UInt32(byte), at: transfer.local + UInt32(index))
      }
    case .dataStore:
      let bytes = (0..<UInt32(transfer.bytes)).map {
        UInt8(truncatingIfNeeded: store.data8(transfer.local + $0))
      }
      try memory.write(bytes, to: target, at: transfer.address)
    case .codeLoad:
      let bytes = try memory.read(target, at: transfer.address, count: transfer.bytes)
      for (index, word) in words(bytes).prefix(0x40).enumerated() {
        store.setCode32(word, at: transfer.local + UInt32(index * 4))
      }
      pages.complete(Int(transfer.local >> 8))
      codeChanged()
    }
  }

  private func words(_ bytes: [UInt8]) -> [UInt32] {
    stride(from: 0, to: bytes.count & ~3, by: 4).map { at in
      bytes[at..<at + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
  }

  /// Where a memory port leads, or nil (with an event) when it leads nowhere.
  ///
  /// SOURCE: GF100's memory interface: type 0 is the channel's address space, 4 video memory, 5
  /// system memory, 6 system memory without snooping.
  public func memoryTarget(port: UInt32) -> FalconMemoryTarget? {
    let type = memoryPorts[Int(port & 7)] & 7
    switch type {
    case 0:
      if let channel = channels.addressSpace { return .channel(channel) }
      report(.noChannel(port: port))
    case 4: return .videoMemory
    case 5: return .systemMemory(snooped: true)
    case 6: return .systemMemory(snooped: false)
    default: report(.unknownPortType(port: port, type: type))
    }
    interrupts.pulse(FalconLine.portInvalid)
    return nil
  }

  /// XFER_CTRL written by the host or the microcode.
  func requestTransfer(control: UInt32) {
    transfers.control = control & ~1
    let kinds: [FalconTransfer.Kind] = [.dataLoad, .codeLoad, .dataStore]
    let mode = Int(control >> 4 & 3)
    guard mode < kinds.count, control & ~0x7731 == 0 else {
      report(
        .unimplementedBits(
          offset: FalconRegister.transferControl.rawValue, bits: control & ~0x7731 | control & 0x30)
      )
      return
    }
    enqueue(
      FalconTransfer(
        kind: kinds[mode], port: control >> 12, base: transfers.base, offset: transfers.offset,
        local: transfers.local, sizeCode: control >> 8))
  }

  /// XFER_STATUS: whether data transfers wait, and how many of each kind.
  var transferStatus: UInt32 {
    let stores = UInt32(min(7, transfers.count(.dataStore)))
    let loads = UInt32(min(7, transfers.count(.dataLoad)))
    return (stores + loads > 0 ? 2 : 0) | stores << 16 | loads << 24
  }
}
