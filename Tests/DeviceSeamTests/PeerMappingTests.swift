import Base
import DeviceSeam
import KernelRuntime
import Testing

/// A window of two pages, of which the second leads nowhere.
private final class FakeWindow: PeerWindow {
  let memory: MappedMemory
  var isGone = false
  private(set) var written: [Range<UInt64>] = []

  init() throws(KernelError) { memory = try MappedMemory(count: 4 << 12) }

  var byteCount: UInt64 { 2 << 12 }

  func answerPeer(_ offset: UInt64, isWrite: Bool) -> PeerAnswer {
    if isGone { return isWrite ? .dropped : .unanswered }
    guard offset < 1 << 12 else { return .refused }
    return .memory(
      DMATarget(memory: memory, offset: Int(offset) + 2 << 12, length: 1 << 12 - Int(offset)))
  }

  func peerWrote(_ range: Range<UInt64>) { written.append(range) }
}

@Suite struct PeerMappingTests {
  private func make() throws -> (DMAAddressSpace, Kernel, FakeWindow) {
    let kernel = Kernel()
    let space = try DMAAddressSpace(kernel, ram: try MappedMemory(count: 16 << 12))
    return (space, kernel, try FakeWindow())
  }

  @Test func withoutAPath_nothingIsMapped() throws {
    let (space, kernel, window) = try make()
    #expect(!space.reaches(window) && !space.hasPeers)
    #expect(throws: KernelError.EREMOTEIO) {
      try space.mapPeer(window, at: 0, count: 1, .fromDevice)
    }
    #expect(space.mappedPages == 0 && space.totalMaps == 0)
    _ = kernel
  }

  @Test func aMapping_leadsThroughTheWindow_inItsDirection_once() throws {
    let (space, kernel, window) = try make()
    space.connect(window)
    let address = try space.mapPeer(window, at: 0, count: 2, .fromDevice)
    #expect(space.mappedPages == 2)
    let target = try space.resolve(address + 16, isWrite: true)
    #expect(target.memory === window.memory && target.offset == 2 << 12 + 16)
    #expect(target.length == 4096 - 16)
    #expect(throws: DMAFault.permission(address, isWrite: false)) {
      try space.resolve(address, isWrite: false)
    }
    // Mapped, but the window leads nowhere.
    #expect(throws: DMAFault.unmapped(address + 4096)) {
      try space.resolve(address + 4096, isWrite: true)
    }
    space.unmapPeer(address, count: 2, .fromDevice)
    #expect(throws: DMAFault.unmapped(address)) { try space.resolve(address, isWrite: true) }
    #expect(space.mappedPages == 0 && space.badUnmaps.isEmpty)
    space.unmapPeer(address, count: 2, .fromDevice)
    #expect(space.badUnmaps == [address])
    _ = kernel
  }

  @Test func aDeviceOffTheBus_dropsWrites_andAnswersNoRead() throws {
    let (space, kernel, window) = try make()
    space.connect(window)
    let address = try space.mapPeer(window, at: 0, count: 1, .bidirectional)
    window.isGone = true
    #expect(throws: DMAFault.dropped(address)) { try space.resolve(address, isWrite: true) }
    #expect(throws: DMAFault.unanswered(address)) { try space.resolve(address, isWrite: false) }
    _ = kernel
  }

  @Test func eachWindow_hasAddressesOfItsOwn_andHearsOfItsWrites() throws {
    let (space, kernel, window) = try make()
    let other = try FakeWindow()
    space.connect(window)
    space.connect(other)
    let first = try space.mapPeer(window, at: 0, count: 1, .fromDevice)
    let second = try space.mapPeer(other, at: 0, count: 1, .fromDevice)
    #expect(first != second)
    #expect(try space.resolve(second, isWrite: true).memory === other.memory)
    space.wrotePeer(other.memory, 0..<8)
    #expect(window.written.isEmpty && other.written == [0..<8])
    _ = kernel
  }

  @Test func aFailure_mapsNothing() throws {
    let (space, kernel, window) = try make()
    space.connect(window)
    kernel.failures.arm(.peerMap, .nth(1), error: .ENOMEM)
    #expect(throws: KernelError.ENOMEM) {
      try space.mapPeer(window, at: 0, count: 1, .toDevice)
    }
    #expect(space.mappedPages == 0)
  }
}
