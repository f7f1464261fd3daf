import Base
import DeviceSeam
import LinuxMM

/// A way for bytes from one GPU's memory to another's: whose engine moves them, and whose BAR1 it
/// does that through.
struct PeerRoute {
  let source: Dmem
  let destination: Dmem
  let engine: PeerEngine
  private let window: any PeerWindow

  /// The one whose copy engine works.
  var copier: Dmem { engine == .source ? source : destination }
  /// The one whose memory is reached over the bus.
  var exporter: Dmem { engine == .source ? destination : source }
  private var bus: DMAAddressSpace { copier.device.pci.dma }
  private var direction: DMADirection { engine == .source ? .fromDevice : .toDevice }

  /// Nil without a path over the bus.
  init?(from source: Dmem, to destination: Dmem, _ engine: PeerEngine) {
    self.source = source
    self.destination = destination
    self.engine = engine
    let exporter = engine == .source ? destination : source
    let copier = engine == .source ? source : destination
    guard let window = exporter.device.pci.peerWindow, copier.device.pci.dma.reaches(window) else {
      return nil
    }
    self.window = window
  }

  /// Plans the copy of pages in a row; on an error nothing is planned. Sleeps while a chunk is put
  /// into BAR1, which is done once a chunk.
  func plan(
    _ from: (page: PFN, chunk: DmemChunk), _ to: (page: PFN, chunk: DmemChunk), pages: Int,
    _ scratch: MigrationScratch
  ) async throws(PeerFallback) {
    let exported = engine == .source ? to : from
    let shown: GPUVirtualAddress
    do throws(KernelError) {
      shown = try await exporter.openWindow(exported.chunk)
    } catch {
      throw .noWindow(error)
    }
    let inChunk = UInt64(exported.page.index - exported.chunk.range.start.index)
    let place = shown.rawValue + inChunk << UInt64(PageSize.shift)
    let address: DMAAddress
    do throws(KernelError) {
      address = try bus.mapPeer(window, at: place, count: pages, direction)
    } catch {
      throw .notMapped(error)
    }
    scratch.addPeer(address, pages: pages, direction)
    switch engine {
    case .source:
      scratch.plan.add(
        from: .vram(from.chunk.address(of: from.page)), to: .host(address), pages: pages)
    case .destination:
      scratch.plan.add(
        from: .host(address), to: .vram(to.chunk.address(of: to.page)), pages: pages)
    }
  }

  /// Carries the plan out; nil when every byte is where it shall be.
  ///
  /// The fence of the engine says that its writes have left it. That they have arrived, only a read
  /// from the other board says, which the bus doesn't let overtake them; and a board that went off
  /// the bus meanwhile took none of them without anybody being told.
  func copy(_ scratch: MigrationScratch) async -> KernelError? {
    if scratch.plan.isEmpty { return nil }
    if let error = await copier.copyAndWait(scratch) { return error }
    return exporter.device.checkPresence() ? nil : .ENODEV
  }

  /// Takes the mappings of the other board's memory back; the copies are complete, or stopped.
  func unmap(_ scratch: MigrationScratch) { scratch.unmapPeers(bus) }
}
