import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau

/// A random sequence over a whole machine: steps of actions that run at once, all made from a seed.
/// Which of them are kept can be written in one line, and so can what is left after shrinking.
struct MachineSequence: CustomStringConvertible {
  let seed: UInt64
  /// Numbers of the steps that are carried out, rising.
  private(set) var kept: [Int]
  private let steps: [[MachineAction]]

  static let length = 30

  init(seed: UInt64) {
    var generator = SplitMix64(seed: seed)
    var steps: [[MachineAction]] = []
    for _ in 0..<Self.length { steps.append(Self.step(&generator)) }
    self.seed = seed
    self.steps = steps
    kept = Array(steps.indices)
  }

  /// From a line that ``line`` gave: `SEED` or `SEED/STEP,STEP,…`; nil for any other text.
  init?(line: String) {
    let parts = line.split(separator: "/", omittingEmptySubsequences: false)
    guard let first = parts.first, let seed = UInt64(first), parts.count <= 2 else { return nil }
    self.init(seed: seed)
    guard parts.count == 2 else { return }
    let numbers = parts[1].split(separator: ",").map { Int($0) }
    kept = numbers.compactMap(\.self)
    guard kept.count == numbers.count, kept.allSatisfy(steps.indices.contains) else { return nil }
  }

  var line: String {
    kept.count == steps.count
      ? "\(seed)" : "\(seed)/" + kept.map(String.init).joined(separator: ",")
  }

  /// How to see it again, and what it does.
  var description: String {
    let text = kept.map { step in
      "\(step): " + steps[step].map(\.description).joined(separator: " || ")
    }
    return "NOUVEAU_MACHINE_SEQUENCE=\(line) swift test --filter MachinePropertyTests\n  "
      + text.joined(separator: "\n  ")
  }

  /// One action, or several at once: then at most one for each process's bytes, and any migrations.
  private static func step(_ generator: inout SplitMix64) -> [MachineAction] {
    let first = MachineAction.draw(&generator)
    guard first.mayRunBeside, generator.chance(1, in: 2) else { return [first] }
    var actions = [first]
    for _ in 0..<(1 + generator.below(2)) {
      let next = MachineAction.draw(&generator)
      let isFree = next.ownProcess.map { own in actions.allSatisfy { $0.ownProcess != own } }
      if next.mayRunBeside && isFree ?? true { actions.append(next) }
    }
    return actions
  }

  private var configuration: MachineConfiguration {
    var configuration = MachineConfiguration()
    configuration.ramBytes = 24 << 20
    configuration.gpu.vramBytes = 16 << 20
    configuration.moreGPUs = [configuration.gpu]
    configuration.driver.channels = 4
    configuration.driver.ringEntries = 64
    configuration.driver.pushBytes = 32 << 10
    configuration.policy.batchPages = [512, 64, 5][Int(seed % 3)]
    configuration.policy.batchesInFlight = 1 + Int(seed % 2)
    configuration.policy.peers = seed % 4 == 0 ? .host : .direct
    configuration.policy.peerEngine = seed % 2 == 0 ? .source : .destination
    configuration.hugePages = seed % 2 == 0 ? .always : .never
    configuration.policy.hugeFolios = seed % 4 == 2
    configuration.stepLimit = 4_000_000
    if seed % 5 != 0 { configuration.choices = RandomWalkChoices(seed: seed) }
    return configuration
  }

  /// What disagreed with the oracle, or broke a rule of the machine; nil when all held.
  func run(prepare: @escaping (Machine) -> Void = { _ in }) throws -> String? {
    let machine = try Machine(configuration)
    let world = MachineWorld(machine)
    var failure: String?
    do throws(RunFailure) {
      try machine.run { machine in
        do { try await world.begin() } catch { failure = "set-up: \(error)" }
        prepare(machine)
        for step in kept where failure == nil {
          failure = await carryOut(steps[step], world, machine.kernel)
        }
        if failure == nil { failure = await world.end() }
      }
    } catch {
      return "\(error)"
    }
    if failure == nil, let offence = machine.audit().first { failure = offence }
    if failure == nil {
      try machine.run { await $0.shutdown() }
      failure = machine.audit().first.map { "after shutdown: \($0)" }
    }
    return failure
  }

  private func carryOut(
    _ actions: [MachineAction], _ world: MachineWorld, _ kernel: Kernel
  ) async -> String? {
    if actions.count == 1 { return await world.apply(actions[0]) }
    var failure: String?
    let tasks = actions.enumerated().map { number, action in
      kernel.spawn("action \(number)") { failure = await world.apply(action) ?? failure }
    }
    for task in tasks { await task.join() }
    return failure
  }

  /// The shortest sequence found that still fails: halves, quarters, … then single steps are left
  /// out as long as the rest fails.
  func shrunk(prepare: @escaping (Machine) -> Void = { _ in }) throws -> MachineSequence {
    var best = self
    var size = max(1, kept.count / 2)
    while true {
      var at = 0
      var isShorter = false
      while at < best.kept.count {
        var candidate = best
        candidate.kept.removeSubrange(at..<min(at + size, best.kept.count))
        if try candidate.run(prepare: prepare) != nil {
          best = candidate
          isShorter = true
        } else {
          at += size
        }
      }
      if size == 1 && !isShorter { return best }
      size = max(1, size / 2)
    }
  }
}
