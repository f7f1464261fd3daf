import Base
import Falcon
import Foundation
import Testing

@testable import Fuzzing

/// The microcode that the project ships.
private func microcode() throws -> FirmwareContainer {
  let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  let file = try Data(contentsOf: root.appending(path: "Firmware/nvidia/gf100/pcopy.bin"))
  return try FirmwareContainer(parsing: [UInt8](file))
}

@Suite struct FuzzingTests {
  /// A short campaign of each target; `nouveau fuzz` runs long ones, in a process of its own.
  @Test(arguments: [
    ("vbios", 1500), ("container", 800), ("pushbuffer", 600), ("falcon", 300), ("assembler", 500),
    ("recording", 300),
  ])
  func shortCampaign_findsNothing(name: String, count: UInt64) throws {
    let target = try #require(
      FuzzTargets.all(microcode: try microcode()).first { $0.name == name })
    let work = FuzzWork(target, seed: 20_261_125, range: FuzzRange(first: 0, count: count))
    let (tally, finding) = work.run()
    #expect(finding == nil, "nouveau fuzz \(name) --seed 20261125 --first \(finding?.index ?? 0)")
    #expect(tally.total == count)
    // A fuzzer that always ends in the same place does not do its work.
    #expect(tally.endings.count > 1)
  }

  @Test func input_dependsOnSeedAndNumberAlone() throws {
    for target in FuzzTargets.all() {
      #expect(target.input(7, seed: 1) == target.input(7, seed: 1), "\(target.name)")
      #expect((0..<20).contains { target.input($0, seed: 1) != target.input($0, seed: 2) })
    }
  }

  @Test func shards_makeTheWhole() {
    let parts = (1...3).flatMap { part in
      let range = FuzzRange(first: 10, count: 11, part: UInt64(part), parts: 3)
      return (0..<range.size).map { range.number($0) }
    }
    #expect(parts.sorted() == Array(10..<21))
  }

  /// A target whose input 5 breaks its promise.
  private struct Faulty: FuzzTarget {
    let name = "faulty"
    let summary = ""
    func input(_ number: UInt64, seed: UInt64) -> [UInt8] { [UInt8(number)] }
    func feed(_ input: [UInt8]) -> FuzzOutcome { input == [5] ? .broken("five") : .ended("fine") }
  }

  @Test func work_stopsAtTheFirstBrokenPromise() {
    var work = FuzzWork(Faulty(), seed: 0, range: FuzzRange(first: 0, count: 20))
    work.block = 2
    let (tally, finding) = work.run()
    #expect(finding == FuzzWork.Finding(index: 5, complaint: "five"))
    #expect(tally.total == 5)
    let rest = work.run(6..<20)
    #expect(rest.finding == nil && rest.tally.total == 14)
  }
}

@Suite struct FuzzSupervisorTests {
  /// A child of a campaign in which some inputs trap, hang or break promises.
  private static func child(
    _ faults: [UInt64: FuzzSupervisor.Kind], _ range: Range<UInt64>, _ block: UInt64
  ) -> FuzzSupervisor.Ending {
    var tally = FuzzTally()
    var told = FuzzJournal(.at(range.lowerBound), tally)
    for index in range {
      if (index - range.lowerBound) % block == 0 { told = FuzzJournal(.at(index), tally) }
      switch faults[index] {
      case nil: tally.add("fine")
      case .broken(let complaint): return .init(FuzzJournal(.broken(index, complaint), tally))
      case .hang: return .init(told, signal: FuzzSupervisor.hangSignal)
      case .trap(let signal): return .init(told, signal: signal)
      case .unrepeated(let signal):
        if block > 1 { return .init(told, signal: signal) }
        tally.add("fine")
      }
    }
    return .init(FuzzJournal(.end, tally))
  }

  @Test func everyFault_isFoundAtItsInput() throws {
    let faults: [UInt64: FuzzSupervisor.Kind] = [
      5: .broken("odd"), 23: .trap(signal: 4), 24: .hang, 59: .trap(signal: 11),
    ]
    var supervisor = FuzzSupervisor(size: 60) { Self.child(faults, $0, $1) }
    supervisor.block = 16
    let (tally, findings) = try supervisor.run()
    #expect(findings.map(\.index) == [5, 23, 24, 59])
    #expect(findings.map(\.kind) == [5, 23, 24, 59].map { faults[$0] })
    #expect(tally.total == 56)
  }

  @Test func deathThatDoesNotRepeat_isToldWithItsBlock() throws {
    var supervisor = FuzzSupervisor(size: 40) {
      Self.child([20: .unrepeated(signal: 9)], $0, $1)
    }
    supervisor.block = 8
    let (tally, findings) = try supervisor.run()
    #expect(findings == [.init(index: 16, kind: .unrepeated(signal: 9))])
    #expect(tally.total == 40)
  }

  @Test func tooManyFindings_endTheCampaign() throws {
    let faults = Dictionary(
      uniqueKeysWithValues: (UInt64(0)..<50).map { ($0, FuzzSupervisor.Kind.broken("x")) })
    let supervisor = FuzzSupervisor(size: 50) { Self.child(faults, $0, $1) }
    #expect(try supervisor.run().findings.count == 10)
  }

  @Test func journal_readsWhatItWrites() {
    var tally = FuzzTally()
    tally.add("with blanks", 3)
    tally.add("MMU fault", 1 << 40)
    for state in [FuzzJournal.State.at(7), .end, .broken(9, "some words")] {
      let journal = FuzzJournal(state, tally)
      #expect(FuzzJournal(parsing: journal.text) == journal)
    }
    for text in ["", "at", "at x", "end 5", "start 1", "at 1\nx y"] {
      #expect(FuzzJournal(parsing: text) == nil, "\(text)")
    }
  }
}
