import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// A small machine with the driver bound and one process with one mapping of `pages` pages.
struct Bench {
  let machine: Machine
  let process: UserProcess
  let start: VirtualAddress
  let pages: Int

  func address(_ page: Int, _ offset: Int = 0) -> VirtualAddress {
    start + (page * PageSize.bytes + offset)
  }

  func range(_ pages: Range<Int>) -> VirtualRange {
    VirtualRange(start: address(pages.lowerBound), pages: pages.count)
  }

  var all: VirtualRange { range(0..<pages) }

  /// What page `page` is filled with: a pattern that differs in every page and byte.
  static func pattern(_ page: Int) -> [UInt8] {
    patterns.indices.contains(page) ? patterns[page] : makePattern(page)
  }

  /// Made once: in an unoptimised build they would take most of a run's time.
  private static let patterns = (0..<64).map(makePattern)

  private static func makePattern(_ page: Int) -> [UInt8] {
    (0..<PageSize.bytes).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ page &* 131 &+ $0 >> 8) }
  }

  func fill(_ pages: Range<Int>) async throws(AccessError) {
    for page in pages { try await process.space.store(address(page), Self.pattern(page)) }
  }

  /// The pages whose bytes, read by the CPU, aren't the pattern.
  func damaged(_ pages: Range<Int>) async -> [Int] {
    var damaged: [Int] = []
    for page in pages {
      do throws(AccessError) {
        let bytes = try await process.space.load(address(page), count: PageSize.bytes)
        if bytes != Self.pattern(page) { damaged.append(page) }
      } catch {
        damaged.append(page)
      }
    }
    return damaged
  }

  func isOnDevice(_ page: Int) -> Bool {
    if case .device = process.space.entry(at: address(page)).location { return true }
    return false
  }

  func onDevice(_ pages: Range<Int>) -> Int { pages.count { isOnDevice($0) } }

  /// The counters of device memory.
  var counters: DmemCounters { machine.svm?.dmemCounters ?? DmemCounters() }
}

/// Sources of order that the tests run under.
enum Order: Sendable, CustomStringConvertible {
  case fifo
  case random(seed: UInt64)

  var choices: any Choices {
    switch self {
    case .fifo: FIFOChoices()
    case .random(let seed): RandomWalkChoices(seed: seed)
    }
  }

  var description: String {
    switch self {
    case .fifo: "fifo"
    case .random(let seed): "random walk, seed \(seed)"
    }
  }

  static let several: [Order] = [.fifo] + (1...8).map { .random(seed: $0) }
}

/// Runs `body` on a machine with a process that maps `pages` pages, then shuts down and audits.
///
/// Each offence names the order, which is all that is needed to see it again.
func withBench(
  pages: Int, order: Order = .fifo, ram: UInt64 = 64 << 20,
  configure: (inout MachineConfiguration) -> Void = { _ in },
  sourceLocation: SourceLocation = #_sourceLocation,
  _ body: @escaping (Bench) async throws -> Void
) throws {
  var configuration = MachineConfiguration()
  configuration.ramBytes = ram
  configuration.gpu.vramBytes = 64 << 20
  configuration.driver.channels = 8
  configuration.choices = order.choices
  // A live-lock ends with a report instead of filling the time of a run.
  configuration.stepLimit = 400_000
  configure(&configuration)
  let machine = try Machine(configuration)
  var failure: (any Error)?
  try machine.run { machine in
    do {
      try await machine.boot()
      let process = try await machine.makeProcess("p")
      let bytes = UInt64(pages * PageSize.bytes)
      let start = try await process.space.map(bytes: bytes, .readWrite)
      try await body(Bench(machine: machine, process: process, start: start, pages: pages))
    } catch {
      failure = error
    }
  }
  if let failure { throw failure }
  machine.kernel.failures.disarm()
  #expect(machine.audit() == [], "before shutdown, \(order)", sourceLocation: sourceLocation)
  try machine.run { await $0.shutdown() }
  try machine.kernel.runUntilIdle()
  #expect(machine.audit() == [], "after shutdown, \(order)", sourceLocation: sourceLocation)
  #expect(machine.driver == nil, sourceLocation: sourceLocation)
}
