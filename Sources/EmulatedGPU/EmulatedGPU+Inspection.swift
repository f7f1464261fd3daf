public import Base
import KernelRuntime
import NVHardware

/// What tests, audits and reports see of a GPU, beside what a driver sees; and what breaks it.
extension EmulatedGPU {
  /// Video memory, as it lies.
  public var vram: MappedMemory { board.vram }
  public var chipName: String { board.chip.name }
  /// Everything that was used and isn't implemented, oldest first. Empty after any good flow.
  public var unimplemented: [UnimplementedAccess] { board.unimplemented }
  /// Accesses to memory that the bus refused, oldest first.
  public var busFaults: [BusFault] { board.dmaFaults }
  public var isLost: Bool { board.isLost }
  /// The clock that time stamps show, in nanoseconds.
  public var timestamp: UInt64 { board.timestamp }
  /// TLB invalidations since the GPU was made.
  public var invalidations: UInt64 { mmu.invalidations }
  /// Replayable faults that were parked since the GPU was made.
  public var replayableFaults: UInt64 { parking.total }
  /// Methods that PBDMAs executed.
  public var methodsExecuted: UInt64 { host.pbdmas.reduce(0) { $0 + $1.methodCount } }
  /// Launches that copy engines completed, and the bytes of all of them.
  public var launchesCompleted: UInt64 { hostEngines.reduce(0) { $0 + $1.completed } }
  public var bytesCopied: UInt64 { hostEngines.reduce(0) { $0 + $1.movedBytes } }
  /// Pages of VRAM with an uncorrectable error.
  public var poisonedPages: [VRAMAddress] { board.poisonedPages.map { VRAMAddress($0) } }

  /// Gives the page that holds `address` an uncorrectable error: reads of it fault until the whole
  /// page is written.
  public func poison(_ address: VRAMAddress) { board.poison(address.rawValue) }

  /// Takes the function off the bus: reads give all ones, writes go nowhere, engines stop.
  public func loseDevice() {
    guard !board.isLost else { return }
    board.isLost = true
    board.kernel.trace.record(.lost)
    parking.queue.wakeAll()
  }

  /// Nothing runs or waits on any engine.
  public var isIdle: Bool {
    hostEngines.allSatisfy(\.isIdle) && host.pbdmas.allSatisfy { $0.current == nil }
      && parking.count == 0
  }

  /// Whether the host or an engine has something to do for a channel, so that more of its work may
  /// come to an end by itself.
  public func works(onChannel id: UInt32) -> Bool {
    guard let channel = host.existing(id) else { return false }
    if channel.isRunnable || channel.isLoaded { return true }
    return hostEngines.contains { $0.channel === channel && !$0.isIdle }
  }

  /// Complaints of an audit at the end of a flow: what a driver should not have left behind.
  public func audit() -> [String] {
    var complaints = board.unimplemented.map(\.description)
    complaints += board.dmaFaults.map { "the bus refused: \($0)" }
    // What a board was doing when it went off the bus is nobody's business any more.
    if board.isLost { return complaints }
    if parking.count > 0 { complaints.append("\(parking.count) GPU accesses wait for a replay") }
    for engine in hostEngines where !engine.isIdle {
      complaints.append("copy engine \(engine.instance) is \(engine.stateName), not idle")
    }
    return complaints
  }
}
