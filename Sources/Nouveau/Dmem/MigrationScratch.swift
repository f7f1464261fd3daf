import Base
import DeviceSeam
import LinuxMM

/// The arrays of one migration in progress, used again by later ones.
///
/// The DMA addresses are kept as a list of what *was* mapped, never as slots that a skipped page
/// would leave stale (checks.md A5, A6; bugs.md L02).
final class MigrationScratch {
  let buffers: MigrationBuffers
  var plan = CopyPlan()
  /// The life of the copy channel that the plan was submitted to.
  var generation = 0
  /// Pages of the host that stand in the copy channel's window until the copies are complete.
  var lease: CopyWindow.Lease?
  /// The migration is of one huge page.
  var isWhole = false
  /// Where in a huge page that comes back in parts the touched page is.
  var wantedPlace = 0
  /// What this migration has mapped for the device and not yet unmapped.
  private(set) var mapped: [(address: DMAAddress, pages: Int, direction: DMADirection)] = []
  /// What of another GPU's memory it has mapped; nearly always nothing.
  private var peers: [(address: DMAAddress, pages: Int, direction: DMADirection)] = []

  init(pages: Int) {
    buffers = MigrationBuffers(pages: pages)
    mapped.reserveCapacity(pages)
  }

  /// Takes note of pages in a row that were mapped.
  func add(_ address: DMAAddress, pages: Int, _ direction: DMADirection) {
    mapped.append((address, pages, direction))
  }

  /// Takes every mapping back, each once.
  func unmapAll(_ dma: DMAAddressSpace) {
    for mapping in mapped {
      dma.unmap(mapping.address, count: mapping.pages, mapping.direction)
    }
    mapped.removeAll(keepingCapacity: true)
  }

  /// Takes note of pages in a row of another GPU that were mapped.
  func addPeer(_ address: DMAAddress, pages: Int, _ direction: DMADirection) {
    peers.append((address, pages, direction))
  }

  /// Takes every mapping of another GPU's memory back, each once.
  func unmapPeers(_ dma: DMAAddressSpace) {
    for mapping in peers {
      dma.unmapPeer(mapping.address, count: mapping.pages, mapping.direction)
    }
    peers.removeAll(keepingCapacity: true)
  }

  func reset() {
    invariant(lease == nil, "a migration ends with pages in the copy window")
    invariant(mapped.isEmpty, "a migration ends with \(mapped.count) pages still mapped")
    invariant(peers.isEmpty, "a migration ends with another GPU's memory still mapped")
    plan.removeAll()
    isWhole = false
    wantedPlace = 0
  }
}
