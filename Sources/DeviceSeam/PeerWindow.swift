public import Base

/// A device's memory as other devices of the bus reach it: its BAR1, by bus addresses.
public protocol PeerWindow: AnyObject {
  var byteCount: UInt64 { get }
  /// The memory that the window leads to.
  var memory: MappedMemory { get }
  /// What another device's access at `offset` meets, through the window's own page tables.
  func answerPeer(_ offset: UInt64, isWrite: Bool) -> PeerAnswer
  /// Another device wrote these bytes of ``memory``.
  func peerWrote(_ range: Range<UInt64>)
}

/// What an access to another device's window meets.
public enum PeerAnswer {
  case memory(DMATarget)
  /// A write to a device that is off the bus. Writes are posted, so that nobody tells the writer.
  case dropped
  /// A read that no bytes come back for: the device is off the bus, or its memory is bad.
  case unanswered
  /// Nothing is mapped there, or the window is shut.
  case refused
}

/// Pages of other devices' windows that one device may reach.
struct PeerMappings {
  /// Windows that this device has a path to, in the order of their bus addresses.
  private(set) var windows: [any PeerWindow] = []
  private var mapped: [(range: Range<UInt64>, direction: DMADirection)] = []

  /// Where each window begins, from the base; wider than any window.
  private static let stride: UInt64 = 1 << 40

  mutating func connect(_ window: any PeerWindow) {
    if !windows.contains(where: { $0 === window }) { windows.append(window) }
  }

  mutating func disconnect() { windows = [] }

  /// The bus address of a place, from the base; nil without a path.
  func place(_ window: any PeerWindow, _ offset: UInt64) -> UInt64? {
    guard let index = windows.firstIndex(where: { $0 === window }) else { return nil }
    return UInt64(index) * Self.stride + offset
  }

  mutating func insert(_ range: Range<UInt64>, _ direction: DMADirection) {
    mapped.append((range, direction))
  }

  /// False when exactly this was not mapped.
  mutating func remove(_ range: Range<UInt64>, _ direction: DMADirection) -> Bool {
    guard let index = mapped.firstIndex(where: { $0.range == range && $0.direction == direction })
    else { return false }
    mapped.remove(at: index)
    return true
  }

  func resolve(_ place: UInt64, _ address: DMAAddress, isWrite: Bool) throws(DMAFault) -> DMATarget
  {
    guard let found = mapped.first(where: { $0.range.contains(place) }) else {
      throw .unmapped(address)
    }
    guard isWrite ? found.direction.allowsDeviceWrite : found.direction.allowsDeviceRead else {
      throw .permission(address, isWrite: isWrite)
    }
    let window = windows[Int(place / Self.stride)]
    switch window.answerPeer(place % Self.stride, isWrite: isWrite) {
    case .memory(let target):
      let left = Int(found.range.upperBound - place)
      return DMATarget(
        memory: target.memory, offset: target.offset, length: min(left, target.length))
    case .dropped: throw .dropped(address)
    case .unanswered: throw .unanswered(address)
    case .refused: throw .unmapped(address)
    }
  }
}
