import Base
import DeviceSeam

/// BAR1 as other devices of the bus see it: the same page tables as for the CPU, and no doorbell.
final class PeerBAR1: PeerWindow {
  private let board: Board
  private let bar1: BarWindow

  init(_ board: Board, _ bar1: BarWindow) {
    self.board = board
    self.bar1 = bar1
  }

  var byteCount: UInt64 { board.configuration.bar1Bytes }
  var memory: MappedMemory { board.vram }

  func answerPeer(_ offset: UInt64, isWrite: Bool) -> PeerAnswer {
    if board.isLost { return isWrite ? .dropped : .unanswered }
    board.touch()
    guard offset < byteCount, let found = bar1.translatePeer(offset, isWrite: isWrite),
      found.place.aperture == .vram, found.place.address < UInt64(board.vram.count)
    else { return .refused }
    let start = found.place.address
    var length = min(found.length, UInt64(board.vram.count) - start)
    // A read stops before memory with an uncorrectable error.
    if !isWrite, let bad = board.firstPoison(in: start..<(start + length)) {
      if bad == start { return .unanswered }
      length = bad - start
    }
    return .memory(DMATarget(memory: board.vram, offset: Int(start), length: Int(length)))
  }

  func peerWrote(_ range: Range<UInt64>) { board.heal(range) }
}
