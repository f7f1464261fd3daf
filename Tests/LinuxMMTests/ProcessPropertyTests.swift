import Base
import KernelRuntime
import LinuxMM
import Testing

/// Random sequences over several processes, devices and files against an oracle of bytes; a
/// failing one is shortened before it is shown.
@Suite struct ProcessPropertyTests {
  /// What went wrong when the steps were played; nil when nothing did.
  private func failure(_ steps: [ProcessStep], forkSharesMemory: Bool = false) throws -> String? {
    let world = try ProcessWorld()
    world.forkSharesMemory = forkSharesMemory
    var failure: String?
    try world.machine.kernel.run {
      do {
        for (number, step) in steps.enumerated() {
          do {
            try await world.play(step)
            try world.audit()
          } catch {
            throw Mismatch("step \(number), \(step): \(error)")
          }
        }
        try await world.end()
      } catch {
        failure = "\(error)"
      }
    }
    return failure
  }

  @Test(arguments: UInt64(0)..<8)
  func randomSequences_matchTheOracle(block: UInt64) throws {
    for seed in block * 40..<(block + 1) * 40 {
      let steps = ProcessStep.random(seed: seed, count: 80)
      guard let first = try failure(steps) else { continue }
      let short = try ProcessStep.shortened(steps) { try failure($0) != nil }
      let last = try failure(short) ?? first
      Issue.record("seed \(seed): \(last)\n\(short.map { "\($0)" }.joined(separator: "\n"))")
      return
    }
  }

  /// The kit finds a defect and shortens it: here the oracle takes parent and child for one.
  @Test func aDefect_isFound_andShortened() throws {
    var shortest = Int.max
    for seed in 0..<40 as Range<UInt64> {
      let steps = ProcessStep.random(seed: seed, count: 80)
      func fails(_ steps: [ProcessStep]) throws -> Bool {
        try failure(steps, forkSharesMemory: true) != nil
      }
      guard try fails(steps) else { continue }
      shortest = min(shortest, try ProcessStep.shortened(steps, whileFailing: fails).count)
      break
    }
    #expect(shortest <= 10, "80 steps were shortened to \(shortest)")
  }
}
