/// What the driver reports to the kernel's log (`nvkm_error`, `NV_PRINTK`), kept for tests and
/// reports.
package final class DeviceLog {
  /// The last lines, oldest first, such as `fifo: fault 01 …`.
  package private(set) var lines: [String] = []
  /// Lines ever written; more than ``lines`` holds once old ones were dropped.
  package private(set) var count = 0
  /// Told of each line as it is written.
  package var observer: ((String) -> Void)?
  private static let capacity = 1024

  func error(_ unit: String, _ message: @autoclosure () -> String) {
    let line = "\(unit): \(message())"
    count += 1
    if lines.count == Self.capacity { lines.removeFirst(Self.capacity / 2) }
    lines.append(line)
    observer?(line)
  }
}
