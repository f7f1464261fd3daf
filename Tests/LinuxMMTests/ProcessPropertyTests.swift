import Base
import Foundation
import KernelRuntime
import LinuxMM
import Testing

/// Random sequences over several processes, devices and files against an oracle of bytes; a
/// failing one is shortened before it is shown.
///
/// `NOUVEAU_EFFORT=n` plays n times as many; `NOUVEAU_STEPS=…`, which a failure prints, plays one
/// sequence again.
@Suite struct ProcessPropertyTests {
  static let environment = ProcessInfo.processInfo.environment
  static let effort = environment["NOUVEAU_EFFORT"].flatMap { UInt64($0) } ?? 1

  /// What went wrong when the steps were played; nil when nothing did.
  private func failure(_ steps: [ProcessStep], forkSharesMemory: Bool = false) throws -> String? {
    let world = try ProcessWorld()
    world.forkSharesMemory = forkSharesMemory
    return try LinuxMMTests.failure(
      of: steps, on: world.machine.kernel, play: world.play, check: world.audit, end: world.end)
  }

  @Test(arguments: UInt64(0)..<8)
  func randomSequences_matchTheOracle(block: UInt64) throws {
    let count = 40 * Self.effort
    for seed in block * count..<(block + 1) * count {
      let steps = ProcessStep.random(seed: seed, count: 80)
      guard let first = try failure(steps) else { continue }
      let short = try ProcessStep.shortened(steps) { try failure($0) != nil }
      let last = try failure(short) ?? first
      Issue.record(
        """
        seed \(seed): \(last)
        \(short.map { "\($0)" }.joined(separator: "\n"))
        replay: NOUVEAU_STEPS=\(short.map(\.token).joined(separator: ",")) \
        swift test --filter ProcessPropertyTests
        """)
      return
    }
  }

  @Test(.enabled(if: environment["NOUVEAU_STEPS"] != nil))
  func replay() throws {
    let text = Self.environment["NOUVEAU_STEPS"] ?? ""
    let steps = try text.split(separator: ",").map { try #require(ProcessStep(token: $0)) }
    #expect(try failure(steps) == nil)
  }

  @Test func aSequence_isOneLine_andReadAgain() throws {
    let steps = ProcessStep.random(seed: 3, count: 200)
    for step in steps {
      let read = try #require(ProcessStep(token: step.token))
      #expect("\(read)" == "\(step)")
    }
    #expect(ProcessStep(token: "store.0.24.1.5") == nil)
    #expect(ProcessStep(token: "nothing.0.0.1.5") == nil)
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
