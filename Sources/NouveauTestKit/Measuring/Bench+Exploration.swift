import Base
import KernelRuntime
import Machine

extension Bench {
  /// What exploring costs, on one core: every run makes its machine, boots it, carries the scenario
  /// out, audits the machine and lets it go.
  func exploration() throws(KernelError) -> [Measurement] {
    [try schedules(), try allOrders(), try demoSweep()]
  }

  /// The shipped scenario `name`, whose text is compiled in; `EINVAL` when it isn't right.
  private func flow(_ name: String, _ text: String) throws(KernelError) -> ScenarioFlow {
    do throws(ScenarioErrors) {
      return ScenarioFlow(try ScenarioParser().parse(text, file: "docs/scenarios/\(name).yaml"))
    } catch {
      throw .EINVAL
    }
  }

  /// Complete schedules a second of sixteen pages that move while a CPU touches some of them.
  private func schedules() throws(KernelError) -> Measurement {
    progress("schedules a second")
    let flow = try flow("fault-races-bulk-migration", BenchScenario.race)
    var samples: [Double] = []
    for sample in 0..<plan.bulkSamples {
      var exploration = Exploration(.random, schedules: plan.schedules)
      exploration.seed = UInt64(sample)
      var isClean = false
      let time = Self.seconds { isClean = exploration.explore(flow).passed }
      guard isClean else { throw .EIO }
      samples.append(Double(plan.schedules) / time)
    }
    return Measurement(
      "complete schedules, 16 pages", unit: "1/s", goal: .atLeast(10_000), samples: samples,
      note: "a CPU fault races a bulk migration; machine made and audited in each")
  }

  /// Every order of the same scenario with at most so many preemptions, its set-up left as it is.
  private func allOrders() throws(KernelError) -> Measurement {
    progress("all orders with \(plan.preemptions) preemptions")
    let flow = try flow("fault-races-bulk-migration", BenchScenario.race)
    let bounds = ExhaustiveChoices.Bounds(preemptions: plan.preemptions)
    var report: ExplorationReport?
    let time = Self.seconds {
      report = Exploration(.exhaustive(bounds), schedules: 10_000_000).explore(flow)
    }
    guard let report, report.passed, report.coversBounds else { throw .EIO }
    return Measurement(
      "all orders with at most \(plan.preemptions) preemptions", unit: "s", goal: .atMost(60),
      samples: [time], note: "\(report.schedules) orders of the same scenario")
  }

  /// Each passage of each point of the demo's story, with each error.
  private func demoSweep() throws(KernelError) -> Measurement {
    progress("sweep of the demo")
    let flow = try flow("demo", BenchScenario.demo)
    var sweep = Sweep()
    sweep.persistence = [.once]
    if let limit = plan.sweepPassages { sweep.passageLimit = limit }
    var report: SweepReport?
    let time = Self.seconds { report = sweep.run(flow) }
    guard let report, report.passed else { throw .EIO }
    return Measurement(
      "sweep of the demo", unit: "s", goal: .atMost(10), samples: [time],
      note: "\(report.rows.count) failures")
  }
}

/// Scenarios that figures are taken of, as they are shipped under docs/scenarios; a test compares.
public enum BenchScenario {
  public static let race = """
    # Sixteen pages move to the device as one batch while a thread of the CPU reads one of them. It
    # may come first and find RAM, or meet a migration entry and wait, or fault on a page that has
    # arrived and bring it back. Small on purpose: `nouveau bench` counts its schedules a second.
    scenario: fault-races-bulk-migration
    summary: A CPU fault in the middle of a bulk migration finds the right bytes in every order.
    covers: [M20, V09, R29]
    machine: {ram: 1 MiB, vram: 16 MiB, order: random, seed: 16}
    processes:
      - name: app
        mappings:
          - {name: buffer, size: 16 pages}
    steps:
      - fill: {mapping: buffer, random: 16}
      - parallel:
          - name: mover
            steps:
              - migrate: {mapping: buffer, to: device}
          - name: cpu
            steps:
              - read: {mapping: buffer, pages: P3}

    """

  public static let demo = """
    # What `nouveau demo` tells, as a scenario on a quarter of a MiB: bytes go to the device, the
    # GPU reads and writes them there, faults bring some back, a copy fails on the way and loses
    # nothing, and the driver goes while pages are still on the device. A sweep of it fails every
    # passage of every point (a figure of `nouveau bench`).
    scenario: demo
    summary: The story of the demo, for sweeps and orders.
    covers: [N06, N09, L01]
    machine: {ram: 2 MiB, vram: 16 MiB}
    processes:
      - name: app
        mappings:
          - {name: payload, size: 64 pages}
    steps:
      - fill: {mapping: payload, random: 64}
      - migrate: {mapping: payload, to: device, moved: 64}
      - read: {mapping: payload, pages: P3, by: device}
      - write: {mapping: payload, at: P3, value: 0x1122334455667788, by: device}
      - read: {mapping: payload, pages: P3}
      - touch: {mapping: payload, pages: P16..P31}
      - arm: {point: gpu.copy_error, nth: 1}
      - read: {mapping: payload, pages: P40}
        fails: SIGBUS
      - expect:
          location: {payload: {P3: ram, P16..P31: ram, P40: device}}
      - read: {mapping: payload, pages: P40}
      - teardown:
      - expect:
          counters: {device-pages: 0, chunks: 0}
          leaks: none
      - read: {mapping: payload}

    """
}
