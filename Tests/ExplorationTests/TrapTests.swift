import Base
import Foundation
import KernelRuntime
import NouveauTestKit
import Testing

@Suite struct TrapTests {
  /// The bank, with a broken invariant instead of an offence when asked to trap.
  private static func bank(traps: Bool) -> TaskFlow {
    TaskFlow("bank") { run in
      let kernel = run.kernel
      let balance = Canary.Cell(0)
      for name in ["a", "b"] {
        run.task(name) {
          let seen = balance.value
          await kernel.point()
          if traps { invariant(balance.value == seen, "the balance moved") }
          run.expect(balance.value == seen, "moved")
          balance.value = seen + 1
        }
      }
    }
  }

  @Test func runThatTraps_leavesItsTokenBehind() async throws {
    let path = NSTemporaryDirectory() + "trap-journal-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    await #expect(processExitsWith: .failure) { [path = path as String] in
      let runner = FlowRunner(Self.bank(traps: true))
      let journal = try TrapJournal(path: path, flow: "bank", seed: 0)
      journal.follow(runner)
      let search = ExhaustiveChoices()
      while search.next() { _ = runner.run(search, seed: 0) }
    }
    let token = try #require(TrapJournal.read(path: path))
    #expect(token.schedule.deviations == 1)
    try Self.bank(traps: false).replays(token, showing: "moved")
  }

  @Test func journalOfAPathThatCannotBe_isRefused() {
    #expect(throws: KernelError.EIO) {
      try TrapJournal(path: "/nonexistent/journal", flow: "x", seed: 0)
    }
    #expect(TrapJournal.read(path: "/nonexistent/journal") == nil)
  }
}
