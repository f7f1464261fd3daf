import Base
import KernelRuntime
import NVHardware

/// One replayable fault as the buffer reports it.
struct FaultPacket {
  let instance: Place
  let address: UInt64
  let type: NV_PFAULT.FaultType
  let access: NV_PFAULT.AccessType
  let client: UInt32
  let gpc: UInt32
}

/// The ring of replayable faults in memory, at an address of BAR2's space.
///
/// INVARIANT: a packet's VALID bit is in memory before PUT moves past it.
final class FaultBuffer {
  private let board: Board
  private let bar2: BarWindow
  let entries: UInt32
  var isEnabled = false {
    didSet {
      flush()
      update()
    }
  }
  var base: UInt64 = 0
  var get: UInt32 = 0 {
    didSet {
      flush()
      update()
    }
  }
  private(set) var put: UInt32 = 0
  /// Faults that found no room, oldest first.
  private var waiting: [FaultPacket] = []
  /// Packets that could not be stored because BAR2 didn't translate.
  private(set) var lost: UInt64 = 0

  init(_ board: Board, bar2: BarWindow) {
    self.board = board
    self.bar2 = bar2
    entries = board.chip.faultBufferEntries
  }

  func resetPointers() {
    put = 0
    get = 0
  }

  func report(_ packet: FaultPacket) {
    waiting.append(packet)
    flush()
    update()
  }

  /// The hardware stops one entry before GET.
  private func flush() {
    guard isEnabled else { return }
    while let packet = waiting.first, (put + 1) % entries != get {
      waiting.removeFirst()
      write(packet)
      board.kernel.trace.record(
        .replayable, packet.address, UInt64(packet.type.rawValue),
        UInt64(packet.access.rawValue), UInt64(put))
    }
  }

  private func write(_ packet: FaultPacket) {
    typealias E = NVB069_FAULT_BUF_ENTRY
    let entry = base + UInt64(put) * UInt64(E.byteCount)
    let aperture =
      packet.instance.aperture == .vram ? NV_TARGET.VID_MEM : NV_TARGET.SYS_MEM_COHERENT
    let time = board.timestamp
    let info =
      E.FAULT_TYPE.make32(packet.type.rawValue) | E.CLIENT.make32(packet.client)
      | E.ACCESS_TYPE.make32(packet.access.rawValue) | E.GPC_ID.make32(packet.gpc)
      | E.VALID.make32(1)
    let words: [UInt32] = [
      UInt32(truncatingIfNeeded: packet.instance.address) & ~0xfff
        | E.INST_APERTURE.make32(aperture),
      UInt32(truncatingIfNeeded: packet.instance.address >> 32),
      UInt32(truncatingIfNeeded: packet.address) & ~0xfff,
      UInt32(truncatingIfNeeded: packet.address >> 32),
      UInt32(truncatingIfNeeded: time), UInt32(truncatingIfNeeded: time >> 32), 0, info,
    ]
    for (index, word) in words.enumerated() {
      if !bar2.store(word, at: entry + UInt64(4 * index)) {
        lost += 1
        return
      }
    }
    put = (put + 1) % entries
  }

  private func update() {
    board.interrupts.set(
      tree: 0, bit: UInt32(NV_PMC.INTR_REPLAYABLE_FAULT.low), isEnabled && get != put)
  }
}
