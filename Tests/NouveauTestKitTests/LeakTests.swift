#if canImport(Glibc)
  import Base
  import Foundation
  import Glibc
  import KernelRuntime
  import LinuxMM
  import Machine
  import NouveauTestKit
  import Testing

  /// A run leaves nothing behind, whatever is left standing when it ends: the explorer makes
  /// 100,000 machines one after the other. What is counted is the bytes of the heap that are in
  /// use, so that no class has to be named; each test has a process of its own, where nobody else
  /// allocates.
  @Suite struct LeakTests {
    /// Less than the smallest object: what the account itself differs by.
    private static let noise = 32

    /// Bytes that each call of `body` leaves behind. The first calls make what is kept for later
    /// ones, and the C library keeps a few freed pieces of each size, which its account counts as
    /// handed out, so the smallest growth counts: a true leak is there in every call.
    static func leftBehind(by body: () throws -> Void) throws -> Int {
      let heap = try #require(Heap())
      try body()
      var least = Int.max
      for _ in 0..<16 where least >= noise {
        let before = try #require(heap.bytesInUse)
        try body()
        least = min(least, try #require(heap.bytesInUse) - before)
      }
      return least
    }

    @Test func everyScenario_leavesNothingBehind() async {
      await #expect(processExitsWith: .success) {
        for (name, text) in try Repository.scenarios() {
          let runner = FlowRunner(ScenarioFlow(try ScenarioParser().parse(text, file: name)))
          let left = try Self.leftBehind {
            let outcome = runner.run(RandomWalkChoices(seed: 3), seed: 3)
            #expect(outcome.isClean, "\(name): \(outcome.offences)")
          }
          #expect(left < Self.noise, "\(name) leaves \(left) bytes behind in each run")
        }
      }
    }

    /// A failure ends a run in many places, with half of the world built or taken down.
    @Test func runsThatAFailureEnded_leaveNothingBehind() async {
      await #expect(processExitsWith: .success) {
        let flow = try ScenarioFlowTests.flow("fault-races-bulk-migration.yaml")
        let runner = FlowRunner(flow)
        for point in InjectionPoint.all {
          let left = try Self.leftBehind {
            let failure = Injection(point, nth: 1, persists: true)
            let outcome = runner.replay(Schedule(), injections: [failure], isStrict: false)
            #expect(outcome.offences.isEmpty, "\(failure): \(outcome.offences)")
          }
          #expect(left < Self.noise, "\(point.name): \(left) bytes are left behind")
        }
      }
    }

    /// Tasks that never began and work that is still queued hold their kernel, and it them.
    @Test func flowThatIsCutShort_leavesNothingBehind() async {
      await #expect(processExitsWith: .success) {
        let flow = TaskFlow("cut short") { run in
          let kernel = run.kernel
          let queue = WorkQueue(kernel, "queue")
          queue.queue(Work("work") { await kernel.point() })
          run.task("never begun") { await kernel.point() }
          let agent = kernel.agent("storm") {}
          kernel.after(1, "again") { agent.kick() }
          run.failures.arm(.pageAlloc, .always)
        }
        let runner = FlowRunner(flow)
        runner.stepLimit = 0
        let left = try Self.leftBehind {
          let outcome = runner.replay(Schedule(), isStrict: false)
          #expect(outcome.offences.map(\.name) == ["live-lock"])
        }
        #expect(left < Self.noise, "\(left) bytes are left behind")
      }
    }

    /// A task that sleeps for ever can't be taken apart, but its machine's memory can be.
    @Test func hungRun_leavesLittleBehind() async {
      await #expect(processExitsWith: .success) {
        let text = """
          scenario: hang
          summary: A page lock that is never given back.
          covers: [L07]
          processes: [{name: app, mappings: [{name: buffer, size: 4 pages}]}]
          steps:
            - fill: {mapping: buffer, pattern: ones}
            - migrate: {mapping: buffer, to: device, moved: 4}
            - hold: {name: lock, mapping: buffer, page: P0}
            - read: {mapping: buffer}
          """
        let runner = FlowRunner(ScenarioFlow(try ScenarioParser().parse(text, file: "hang.yaml")))
        func hang() {
          let outcome = runner.replay(Schedule(), isStrict: false)
          #expect(outcome.offences.map(\.name) == ["deadlock"])
        }
        let left = try Self.leftBehind(by: hang)
        #expect(left < 256 << 10, "\(left) bytes are left behind")
        let before = try Self.residentBytes()
        for _ in 0..<16 { hang() }
        let grown = (try Self.residentBytes() - before) / 16
        #expect(grown < 300 << 10, "\(grown) bytes of the host stay")
      }
    }

    /// Bytes of the host's memory that the process has.
    private static func residentBytes() throws -> Int {
      let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        .split(separator: " ")
      return try #require(Int(fields[1])) * PageSize.bytes
    }

    /// Mappings lead to files, files to mappings, and both to what watches them.
    @Test func machineThatGoesAsItStands_takesItsMappingsAlong() throws {
      weak var machine: Machine?
      weak var kernel: Kernel?
      weak var space: AddressSpace?
      weak var file: MappedFile?
      weak var watch: Userfault?
      try autoreleased {
        let made = try Machine()
        machine = made
        kernel = made.kernel
        try made.runThrowing { made async throws(KernelError) in
          try await made.boot()
          let process = try await made.makeProcess("p")
          let bytes = UInt64(4 * PageSize.bytes)
          let mapped = try made.mm.createFile("f", bytes: bytes)
          for isShared in [true, false] {
            _ = try await process.space.map(mapped, bytes: bytes, .readWrite, shared: isShared)
          }
          let start = try await process.space.map(bytes: bytes, .readWrite)
          let opened = try process.space.openUserfault()
          _ = try await opened.register(VirtualRange(start: start, bytes: bytes), .missing)
          space = process.space
          file = mapped
          watch = opened
        }
        #expect(space != nil && file != nil && watch != nil)
      }
      #expect(machine == nil)
      #expect(kernel == nil)
      #expect(space == nil)
      #expect(file == nil)
      #expect(watch == nil)
    }

    /// A scope of its own, so that nothing in it lives longer.
    @inline(never)
    private func autoreleased(_ body: () throws -> Void) rethrows { try body() }
  }

  /// glibc's account of the heap.
  @safe
  private struct Heap {
    private typealias Report = @convention(c) (CInt, UnsafeMutablePointer<FILE>) -> CInt
    private let report: Report

    /// Nil where the C library keeps no such account.
    init?() {
      guard let symbol = unsafe dlsym(nil, "malloc_info") else { return nil }
      unsafe report = unsafe unsafeBitCast(symbol, to: Report.self)
    }

    /// Bytes that are handed out; nil when the account can't be read.
    var bytesInUse: Int? {
      var text: UnsafeMutablePointer<CChar>?
      var count = 0
      guard let stream = unsafe open_memstream(&text, &count) else { return nil }
      let result = unsafe report(0, stream)
      unsafe fclose(stream)
      guard result == 0, let text = unsafe text else { return nil }
      defer { unsafe free(text) }
      // Of each heap, and last of all together, which is what counts.
      let lines = unsafe String(cString: text).split(separator: "\n")
      func size(_ start: String) -> Int? {
        guard let line = lines.last(where: { $0.hasPrefix(start) }) else { return nil }
        return line.split(separator: "\"").last { Int($0) != nil }.flatMap { Int($0) }
      }
      guard let whole = size("<system type=\"current\""), let fast = size("<total type=\"fast\""),
        let rest = size("<total type=\"rest\""), let mapped = size("<total type=\"mmap\"")
      else { return nil }
      return whole - fast - rest + mapped
    }
  }
#endif
