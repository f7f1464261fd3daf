import Base
import DMAFence
import KernelRuntime
import Testing

/// Two clients share one ring: neither may be starved, whatever the other does.
struct LoadMix: CustomTestStringConvertible, Sendable {
  let name: String
  /// Job length in ns, pause between jobs in ns, and whether jobs are sent without waiting.
  let one: (length: UInt64, pause: UInt64, isAsync: Bool)
  let other: (length: UInt64, pause: UInt64, isAsync: Bool)
  /// The least share of the ring, in percent of its demand, that each must get.
  let leastShare: UInt64
  var testDescription: String { name }

  static let all: [LoadMix] = [
    mix("normal and normal", (2, 0, true), (2, 0, true), 40),
    mix("heavy and heavy", (8, 0, true), (8, 0, true), 40),
    mix("heavy and light", (8, 0, true), (2, 0, true), 15),
    mix("heavy and interactive", (8, 0, true), (1, 10, false), 20),
    mix("normal and interactive", (2, 0, true), (1, 10, false), 30),
    mix("interactive and interactive", (1, 10, false), (1, 10, false), 80),
    mix("heavy and sporadic", (8, 0, true), (1, 50, false), 50),
    mix("normal and sporadic", (2, 0, true), (2, 50, false), 50),
    mix("synchronous and asynchronous", (2, 0, false), (2, 0, true), 20),
    mix("short and long", (1, 0, true), (16, 0, true), 5),
  ]

  private static func mix(
    _ name: String, _ one: (UInt64, UInt64, Bool), _ other: (UInt64, UInt64, Bool),
    _ share: UInt64
  ) -> LoadMix {
    LoadMix(
      name: name, one: (one.0 * millisecond, one.1 * millisecond, one.2),
      other: (other.0 * millisecond, other.1 * millisecond, other.2), leastShare: share)
  }
}

@Suite("drm_sched fairness") struct SchedulerFairnessTests {
  @Test("drm_sched: fairness", arguments: LoadMix.all, [1, 2])
  func fairness(mix: LoadMix, credits: Int) throws {
    try explore(seeds: 0..<3, isSampled: true) { bench in
      let kernel = bench.kernel
      let b = SchedulerBench(bench, credits: credits, policy: .roundRobin)
      let span = second
      var used: [UInt64] = [0, 0]
      let entities = [b.entity(), b.entity()]
      let clients = [mix.one, mix.other].enumerated().map { index, load in
        kernel.spawn("client \(index)") {
          var tag = UInt64(index) * 1_000_000
          var open: [Fence] = []
          while kernel.now < span {
            tag += 1
            guard let job = try? b.submit(entities[index], tag, duration: load.length),
              let fence = job.finished
            else { return }
            fence.addCallback { _ in if kernel.now <= span { used[index] += load.length } }
            open.append(fence)
            if !load.isAsync || open.count >= 16 { _ = await open.removeFirst().wait() }
            if load.pause > 0 { await kernel.sleep(load.pause) }
          }
          for fence in open { _ = await fence.wait() }
        }
      }
      for client in clients { await client.join() }
      for (index, load) in [mix.one, mix.other].enumerated() {
        // What it would use alone.
        let demand =
          load.pause == 0 ? span : span / (load.length + load.pause) * load.length
        let share = 100 * used[index] / demand
        try require(
          share >= mix.leastShare, "\(mix.name), client \(index): \(share) % of its demand")
      }
      await b.end(entities)
    }
  }
}
