public import Base
import KernelRuntime

// Memory of other devices: bus addresses beside those of RAM, mapped and unmapped as RAM is.
extension DMAAddressSpace {
  /// Where other devices' windows begin on the bus. SOURCE: none; above all that RAM and the
  /// coherent pool take, and below the 47 bits that a GP100 can put out.
  public static let peerBase: UInt64 = 1 << 43

  /// Gives the device a path to another's window, as the bus's bridges do or don't
  /// (`pci_p2pdma_distance`).
  public func connect(_ window: any PeerWindow) {
    peers.connect(window)
    hasPeers = true
  }

  /// Cuts every path: two devices with a path to each other keep each other alive. For a machine
  /// that goes.
  package func disconnect() {
    peers.disconnect()
    hasPeers = false
  }

  /// Whether there is a path to a window.
  public func reaches(_ window: any PeerWindow) -> Bool { peers.place(window, 0) != nil }

  /// Maps pages in a row of another device's window (`dma_map_resource`). Passes `dma.map_peer` for
  /// each page. `EREMOTEIO` without a path, as `dma_map_sgtable` answers.
  public func mapPeer(
    _ window: any PeerWindow, at offset: UInt64, count: Int, _ direction: DMADirection
  ) throws(KernelError) -> DMAAddress {
    if count == 1 {
      try kernel.failures.check(.peerMap)
    } else {
      kernel.failures.pass(.peerMap, times: count)
    }
    guard let place = peers.place(window, offset) else { throw .EREMOTEIO }
    peers.insert(Self.range(place, count), direction)
    mappedPages += UInt64(count)
    totalMaps += UInt64(count)
    return DMAAddress(Self.peerBase + place)
  }

  /// Takes back exactly what one ``mapPeer(_:at:count:_:)`` gave; else as ``unmap(_:_:)``.
  public func unmapPeer(_ address: DMAAddress, count: Int, _ direction: DMADirection) {
    guard address.rawValue >= Self.peerBase,
      peers.remove(Self.range(address.rawValue - Self.peerBase, count), direction)
    else {
      badUnmaps.append(address)
      return
    }
    mappedPages -= UInt64(count)
  }

  private static func range(_ place: UInt64, _ count: Int) -> Range<UInt64> {
    place..<(place + UInt64(count * PageSize.bytes))
  }

  // MARK: the device's side

  /// Tells the window that `memory` belongs to of bytes that this device wrote there.
  public func wrotePeer(_ memory: MappedMemory, _ range: Range<UInt64>) {
    for window in peers.windows where window.memory === memory { window.peerWrote(range) }
  }
}
