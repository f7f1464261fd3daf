import Base
import KernelRuntime
import NVHardware

/// The clock that all time stamps come from, with its alarm.
final class PTimer {
  private let board: Board
  private var pending: UInt32 = 0
  private var enable: UInt32 = 0
  private var alarm: UInt32 = 0
  private var timer: TimerHandle?

  init(_ board: Board) { self.board = board }

  func read(_ offset: UInt32) -> UInt32? {
    switch offset {
    case NV_PTIMER.TIME_0: UInt32(truncatingIfNeeded: board.timestamp)
    case NV_PTIMER.TIME_1:
      NV_PTIMER.TIME_1_NSEC.get(UInt32(truncatingIfNeeded: board.timestamp >> 32))
    case NV_PTIMER.INTR_0: pending
    case NV_PTIMER.INTR_EN_0: enable
    case NV_PTIMER.ALARM_0: alarm
    default: nil
    }
  }

  func write(_ value: UInt32, _ offset: UInt32) -> Bool {
    switch offset {
    case NV_PTIMER.TIME_0: setTime(board.timestamp & ~0xffff_ffff | UInt64(value))
    case NV_PTIMER.TIME_1:
      setTime(board.timestamp & 0xffff_ffff | UInt64(NV_PTIMER.TIME_1_NSEC.get(value)) << 32)
    case NV_PTIMER.INTR_0:
      pending &= ~value
      update()
    case NV_PTIMER.INTR_EN_0:
      enable = value & 3
      update()
      schedule()
    case NV_PTIMER.ALARM_0:
      alarm = value & ~31
      schedule()
    default: return false
    }
    return true
  }

  private func setTime(_ time: UInt64) {
    board.timeOffset = time &- board.kernel.now
    schedule()
  }

  /// The alarm compares with the low half of the clock.
  private func schedule() {
    timer?.cancel()
    timer = nil
    guard NV_PTIMER.INTR_0_ALARM.get(enable) == 1 else { return }
    let distance = alarm &- UInt32(truncatingIfNeeded: board.timestamp)
    timer = board.kernel.after(UInt64(distance), "ptimer alarm") { [weak self] in
      guard let self, !board.isLost else { return }
      pending |= NV_PTIMER.INTR_0_ALARM.make32(1)
      update()
    }
  }

  private func update() {
    board.interrupts.set(
      tree: 0, bit: UInt32(NV_PMC.INTR_PTIMER.low), pending & enable != 0)
  }

  func retire() { timer?.cancel() }
}
