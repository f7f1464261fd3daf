import Base
import DMAFence
import KernelRuntime

extension Bench {
  /// What fences cost: each figure is a flow of ``DMAFence/FenceMeasurements`` under the clock.
  func fences() throws(KernelError) -> [Measurement] {
    progress("fences")
    let count = plan.fences
    var rows = [
      perOperation("fence made and signalled") { FenceMeasurements.signalAlone(count) },
      perOperation("  with one callback") { FenceMeasurements.signalWithCallback(count) },
    ]
    for mode in [Kernel.Mode.simulated, .realTime] {
      let title = "wait and wake-up, \(mode == .simulated ? "simulated" : "real time")"
      rows.append(
        try perOperation(title) { () throws(KernelError) in
          do throws(RunFailure) {
            return try FenceMeasurements.waitAndWake(count / 10, mode: mode)
          } catch {
            throw .ETIMEDOUT
          }
        })
    }
    rows += longTimeline() + chainSearch()
    rows.append(merge())
    return rows
  }

  /// Nanoseconds of one of the operations that `body` says it did.
  private func perOperation<E: Error>(
    _ name: String, _ body: () throws(E) -> Int
  ) throws(E) -> Measurement {
    var samples: [Double] = []
    for _ in 0..<plan.bulkSamples {
      var done = 0
      let time = try Self.seconds { () throws(E) in done = try body() }
      samples.append(time / Double(max(1, done)) * 1e9)
    }
    return Measurement(name, unit: "ns", samples: samples)
  }

  /// A timeline that is added to for ever must keep what is pending and little more.
  private func longTimeline() -> [Measurement] {
    progress("a timeline of \(plan.timelinePoints) points")
    let window = 256
    var most = 0
    let time = Self.seconds {
      most = FenceMeasurements.longTimeline(points: plan.timelinePoints, window: window).mostLinks
    }
    return [
      Measurement(
        "timeline of \(plan.timelinePoints) points", unit: "ns/point",
        samples: [time / Double(plan.timelinePoints) * 1e9]),
      Measurement(
        "  most links alive, \(window) points open", unit: "links",
        goal: .atMost(Double(4 * window)), samples: [Double(most)]),
    ]
  }

  /// Sixteen times the points may cost a few more steps each, not sixteen times as many.
  private func chainSearch() -> [Measurement] {
    plan.chainCurve.map { points in
      progress("search among \(points) points")
      let timeline = FenceMeasurements.openTimeline(points: points)
      let count = 2_000
      return perOperation("find a point among \(points)") {
        FenceMeasurements.search(timeline.head, points: points, count: count)
      }
    }
  }

  private func merge() -> Measurement {
    progress("merge of \(plan.mergedFences) fences")
    var samples: [Double] = []
    for _ in 0..<plan.bulkSamples {
      let made = FenceMeasurements.merge(plan.mergedFences)
      var leaves = 0
      samples.append(Self.seconds { leaves = made.merge() } * 1e3)
      invariant(leaves == plan.mergedFences, "a merge of \(plan.mergedFences) has \(leaves) leaves")
    }
    return Measurement(
      "merge of \(plan.mergedFences) fences", unit: "ms", goal: .atMost(10), samples: samples)
  }
}
