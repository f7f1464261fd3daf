/// One request of the falcon's DMA unit.
public struct FalconTransfer: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    case codeLoad
    case dataLoad
    case dataStore
  }

  public let kind: Kind
  /// The memory port, 0 to 7.
  public let port: UInt32
  /// The external address: base << 8 plus offset, 40 bits.
  public let address: UInt64
  /// The offset alone, which is the virtual address of a code load.
  public let offset: UInt32
  /// The address in code or data memory.
  public let local: UInt32
  /// 4 << this is the number of bytes; a code load always moves 0x100.
  public let sizeCode: UInt32

  init(
    kind: Kind, port: UInt32, base: UInt32, offset: UInt32, local: UInt32, sizeCode: UInt32
  ) {
    self.kind = kind
    self.port = port & 7
    address = (UInt64(base) << 8 &+ UInt64(offset)) & 0xff_ffff_ffff
    self.offset = offset
    self.local = local & 0xffff
    self.sizeCode = kind == .codeLoad ? 6 : sizeCode & 7
  }

  var bytes: Int { 4 << Int(sizeCode) }
}

/// The queue of transfers, which are carried out one after the other.
///
/// SOURCE: envytools docs/hw/falcon/xfer.rst.
struct FalconTransferQueue {
  private(set) var waiting: [FalconTransfer] = []
  /// The cycle at which the first one ends.
  private(set) var firstDone: UInt64 = 0
  /// Set when memory refused a transfer: the queue stands still until a reset.
  var fault: FalconMemoryFault?

  // The host's registers for requests.
  var base: UInt32 = 0
  var local: UInt32 = 0
  var offset: UInt32 = 0
  var control: UInt32 = 0

  var deadline: UInt64? { waiting.isEmpty || fault != nil ? nil : firstDone }

  mutating func append(_ transfer: FalconTransfer, at cycle: UInt64, _ cost: UInt64) {
    if waiting.isEmpty { firstDone = cycle &+ cost }
    waiting.append(transfer)
  }

  /// Takes the first transfer off; `nextCost` is what the one behind it will take.
  mutating func finishFirst(nextCost: (FalconTransfer) -> UInt64) {
    waiting.removeFirst()
    if let next = waiting.first { firstDone &+= nextCost(next) }
  }

  func count(_ kind: FalconTransfer.Kind) -> Int {
    waiting.reduce(0) { $0 + ($1.kind == kind ? 1 : 0) }
  }
}
