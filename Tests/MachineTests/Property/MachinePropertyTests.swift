import Base
import EmulatedGPU
import Foundation
import KernelRuntime
import Machine
import Nouveau
import Testing

/// Random sequences over a machine with two GPUs, several processes, huge pages, forks, pins and
/// failures, against a plain record of bytes.
@Suite struct MachinePropertyTests {
  static let groups = 4
  static let sequencesPerGroup = 12

  /// `NOUVEAU_MACHINE_SEQUENCE` repeats one sequence; `NOUVEAU_MACHINE_SEQUENCES=N` runs N of them
  /// in each group.
  @Test(arguments: 0..<groups)
  func randomSequences_agreeWithTheOracle(group: Int) throws {
    let environment = ProcessInfo.processInfo.environment
    if let line = environment["NOUVEAU_MACHINE_SEQUENCE"] {
      guard group == 0 else { return }
      let sequence = try #require(MachineSequence(line: line), "no sequence: \(line)")
      #expect(try sequence.run() == nil, "\(sequence)")
      return
    }
    let count =
      environment["NOUVEAU_MACHINE_SEQUENCES"].flatMap { Int($0) } ?? Self.sequencesPerGroup
    for index in 0..<count {
      let sequence = MachineSequence(seed: UInt64(group + Self.groups * index))
      guard try sequence.run() != nil else { continue }
      let shortest = try sequence.shrunk()
      let failure = try shortest.run()
      Issue.record("\(failure ?? "it no longer fails"); \(shortest)")
      return
    }
  }

  @Test func aLine_isTheSameSequenceAgain() throws {
    let whole = MachineSequence(seed: 9)
    #expect(whole.line == "9")
    let part = try #require(MachineSequence(line: "9/3,8,20"))
    #expect(part.line == "9/3,8,20" && part.kept == [3, 8, 20])
    #expect(MachineSequence(line: "9/3,x") == nil)
    #expect(MachineSequence(line: "9/3,99") == nil)
    #expect(MachineSequence(line: "nine") == nil)
  }

  #if DEBUG
    /// The kit must be able to lose: with a defect put back, a sequence fails, its shortest form is
    /// short, fails when read back from its line, and holds without the defect.
    @Test func aDefect_isFound_andShrinks() throws {
      let spoil = { (machine: Machine) in
        for slot in machine.gpus { slot.svm?.dmem.defect = .fenceResultIgnored }
      }
      var found: MachineSequence?
      for seed in UInt64(120)..<400 where found == nil {
        let sequence = MachineSequence(seed: seed)
        if try sequence.run(prepare: spoil) != nil { found = sequence }
      }
      let failing = try #require(found)
      let shortest = try failing.shrunk(prepare: spoil)
      #expect(shortest.kept.count <= 6, "\(shortest)")
      let again = try #require(MachineSequence(line: shortest.line))
      #expect(try again.run(prepare: spoil) != nil)
      #expect(try again.run() == nil)
    }
  #endif
}
