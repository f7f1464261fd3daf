import Base
import DMAFence
public import KernelRuntime

/// What became of the fences of one run of a scenario, and who waited for whom where it hung: the
/// work of `nouveau fences`.
public struct FenceReport: Sendable {
  /// A moment at which somebody waited in vain.
  public struct Hang: Sendable {
    public let title: String
    /// Nanoseconds on the kernel's clock.
    public let time: UInt64
    /// The tasks that slept then, in the order in which they were made.
    public let tasks: [BlockedTask]
  }

  public let run: RunReport
  public let timelines: [FenceTimeline]
  /// Waits that ended without their fence, then what was asleep when the run came to no end.
  public let hangs: [Hang]

  /// Runs a scenario and looks at its fences.
  public static func of(
    _ scenario: Scenario, seed: UInt64? = nil, makeTarget: @escaping ScenarioRunner.TargetMaker
  ) -> FenceReport {
    let watch = FenceWatch()
    let runner = ScenarioRunner { request throws(KernelError) in
      let target = try makeTarget(request)
      watch.attach(target.kernel)
      return target
    }
    let (report, target) = runner.run(scenario, RunOptions(seed: seed, isTracing: true))
    var hangs = watch.hangs
    if let kernel = target?.kernel {
      watch.detach(kernel)
      let asleep = kernel.blockedTasks()
      if !asleep.isEmpty {
        hangs.append(Hang(title: "the run came to no end", time: kernel.now, tasks: asleep))
      }
    }
    return FenceReport(
      run: report, timelines: target.map { FenceTimeline.all(in: $0.kernel.trace) } ?? [],
      hangs: hangs)
  }
}

/// Keeps who slept while a fence was waited for, so that a wait that ends in vain can be explained.
private final class FenceWatch {
  private(set) var hangs: [FenceReport.Hang] = []
  private var asleep: [BlockedTask] = []

  func attach(_ kernel: Kernel) {
    kernel.quietObserver = { [unowned self, unowned kernel] in asleep = kernel.blockedTasks() }
    let before = kernel.trace.observer
    kernel.trace.observer = { [unowned self, unowned kernel] event in
      before?(event)
      if event.kind == .fenceGiveUp { see(event, kernel) }
    }
  }

  func detach(_ kernel: Kernel) {
    kernel.quietObserver = nil
    kernel.trace.observer = nil
  }

  private func see(_ event: TraceEvent, _ kernel: Kernel) {
    let fence = WaitReason.fence(context: event.a, seqno: event.b)
    // The waiter runs again already; the last quiet moment still has it asleep.
    let tasks = asleep.contains { $0.reason == fence } ? asleep : kernel.blockedTasks()
    let waiter = kernel.trace.rows[event.row.index].name
    hangs.append(
      FenceReport.Hang(
        title: "\(waiter) gave up waiting for fence \(event.a):\(event.b)", time: event.time,
        tasks: tasks))
  }
}
