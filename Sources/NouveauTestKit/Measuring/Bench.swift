public import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau

/// The measurements of `nouveau bench`. Figures mean something in an optimised build only.
public struct Bench {
  /// How much is measured.
  public struct Plan: Sendable {
    /// Bytes of one bulk migration.
    public var bulkBytes = 256 << 20
    /// Samples of each bulk figure, after one round that warms memory up.
    public var bulkSamples = 5
    /// Sizes of the curve of bookkeeping, in pages.
    public var curve = [512, 4096, 32_768, 262_144]
    /// CPU faults measured.
    public var faults = 4096
    /// Small machines measured.
    public var machines = 200
    /// Fences of each figure of one operation; waits are a tenth of it.
    public var fences = 100_000
    /// Points added to one timeline.
    public var timelinePoints = 1_000_000
    /// Lengths of timelines that are searched, in points.
    public var chainCurve = [1024, 16_384, 262_144]
    /// Fences merged into one.
    public var mergedFences = 10_000
    /// Cycles of each sample of the falcon's interpreter.
    public var falconCycles: UInt64 = 40_000_000
    /// Bytes of each migration of the comparison of copy engines.
    public var profileBytes = 32 << 20
    /// Schedules of one sample of the rate of schedules.
    public var schedules = 5_000
    /// Preemptions in one run of the search through all orders.
    public var preemptions = 2
    /// Passages of each point in the sweep of the demo; nil for all.
    public var sweepPassages: UInt64?

    public init() {}

    /// Everything small: shows that it works, not how fast.
    public static var brief: Plan {
      var plan = Plan()
      plan.bulkBytes = 2 << 20
      plan.bulkSamples = 2
      plan.curve = [64, 512]
      plan.faults = 32
      plan.machines = 3
      plan.fences = 100
      plan.timelinePoints = 2048
      plan.chainCurve = [64, 512]
      plan.mergedFences = 100
      plan.falconCycles = 20_000
      plan.profileBytes = 256 << 10
      plan.schedules = 20
      plan.preemptions = 0
      plan.sweepPassages = 1
      return plan
    }
  }

  let plan: Plan
  /// Told what is being measured.
  let progress: (String) -> Void

  public init(_ plan: Plan = Plan(), progress: @escaping (String) -> Void = { _ in }) {
    self.plan = plan
    self.progress = progress
  }

  /// Measures everything.
  ///
  /// - Throws: `ENOMEM` when the host has too little memory, or what the machine came back with.
  public func run() throws(KernelError) -> MeasurementReport {
    var report = MeasurementReport()
    report.circumstances = [
      ("build", Self.isOptimised ? "optimised" : "debug: figures say nothing"),
      ("bulk", "\(Quantity.sizeText(UInt64(plan.bulkBytes))) in pages of 4 KiB"),
      ("samples", "\(plan.bulkSamples) of each bulk figure; medians"),
    ]
    report.measurements += try bulk()
    report.measurements += try bookkeeping()
    report.measurements.append(try fault())
    report.measurements.append(try smallMachine())
    report.measurements.append(try untouchedMemory())
    report.measurements += try fences()
    report.measurements += try interpreter()
    report.measurements += try profiles()
    report.measurements += try exploration()
    return report
  }

  private static var isOptimised: Bool {
    var isDebug = false
    assert(
      {
        isDebug = true
        return true
      }())
    return !isDebug
  }

  // MARK: tools

  /// Seconds that `body` takes on the host's clock.
  static func seconds<E: Error>(_ body: () throws(E) -> Void) throws(E) -> Double {
    let clock = ContinuousClock()
    let begin = clock.now
    try body()
    return Self.seconds(clock.now - begin)
  }

  static func seconds(_ duration: Duration) -> Double {
    let (seconds, attoseconds) = duration.components
    return Double(seconds) + Double(attoseconds) * 1e-18
  }

  /// Runs `body` on the machine; a run without end counts as a time-out.
  static func run<T>(
    _ machine: Machine, _ body: @escaping (Machine) async throws(KernelError) -> T
  ) throws(KernelError) -> T {
    do throws(MachineFailure) {
      return try machine.runThrowing(body)
    } catch {
      switch error {
      case .kernel(let error): throw error
      case .run: throw .ETIMEDOUT
      }
    }
  }
}
