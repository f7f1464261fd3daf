/// The periodic timer and the watchdog, which count core cycles.
///
/// The registers are kept as of `base`; what they read as now follows from the cycles since.
/// SOURCE: envytools docs/hw/falcon/timer.rst.
struct FalconTimers {
  var period: UInt32 = 0
  private var periodicTime: UInt32 = 0
  private(set) var periodicOn = false
  private var watchdogTime: UInt32 = 0
  private(set) var watchdogOn = false
  private var base: UInt64 = 0

  /// Whether the watchdog has run out and holds its line high.
  var watchdogExpired: Bool { watchdogOn && watchdogTime == 0 }

  /// The cycle of the next event: the periodic counter's wrap or the watchdog's end.
  var deadline: UInt64? {
    let periodic = periodicOn ? base &+ UInt64(periodicTime) &+ 1 : nil
    let watchdog = watchdogOn && watchdogTime > 0 ? base &+ UInt64(watchdogTime) : nil
    guard let periodic else { return watchdog }
    return watchdog.map { min($0, periodic) } ?? periodic
  }

  /// Counts up to `cycle`; true when the periodic timer ticked on the way.
  mutating func advance(to cycle: UInt64) -> Bool {
    let elapsed = cycle &- base
    base = cycle
    if watchdogOn { watchdogTime = elapsed >= watchdogTime ? 0 : watchdogTime - UInt32(elapsed) }
    guard periodicOn else { return false }
    if elapsed <= periodicTime {
      periodicTime -= UInt32(elapsed)
      return false
    }
    let beyond = elapsed - UInt64(periodicTime) - 1
    periodicTime = period - UInt32(beyond % (UInt64(period) + 1))
    return true
  }

  mutating func setPeriodic(time: UInt32) { periodicTime = time }
  mutating func setPeriodic(on: Bool) { periodicOn = on }
  mutating func setWatchdog(time: UInt32) { watchdogTime = time }
  mutating func setWatchdog(on: Bool) { watchdogOn = on }
  /// The counters as of the last ``advance(to:)``.
  var counters: (periodic: UInt32, watchdog: UInt32) { (periodicTime, watchdogTime) }
}
