import Base
import KernelRuntime
import NouveauTestKit

/// A plain stand-in for a machine: pages with a side, failures at a few points, no driver.
///
/// It shares nothing with the project's own machine, so that tests of the kit find faults of the
/// kit. Switches put defects in, which the kit has to find.
final class FakeTarget: ScenarioTarget {
  struct Page {
    var bytes = [UInt8](repeating: 0, count: PageSize.bytes)
    var side = PageLocation.none
    var pins = 0
    var isMapped = true
    var protection = ScenarioProtection.readWrite
  }

  /// Migration to the device writes the first byte of the page over.
  var corruptsOnMigration = false
  var offences: [String] = []

  let kernel: Kernel
  private var mappings: [(plan: MappingPlan, pages: [Page])] = []
  private var handles: [PageSpan?] = []
  private var movedToDevice: UInt64 = 0
  private var emitted: UInt64 = 0
  private static let emit = TraceKind("fence.emit", ["context", "seqno"], shape: .flowStart)
  private static let signal = TraceKind("fence.signal", ["context", "seqno"], shape: .flowStep)

  init(_ request: TargetRequest) {
    kernel = request.makeKernel()
  }

  func run(_ body: @escaping () async -> Void) throws(RunFailure) { try kernel.run("main", body) }

  func start() async throws(OperationFailure) {}
  func addProcess(_ name: String) async throws(OperationFailure) {}

  func map(_ plan: MappingPlan) async throws(OperationFailure) {
    var page = Page()
    page.protection = plan.protection
    mappings.append((plan, [Page](repeating: page, count: plan.pageCount)))
  }

  private func index(_ name: String) -> Int { mappings.firstIndex { $0.plan.name == name } ?? 0 }

  /// Brings a page in for an access, or says why not.
  private func fault(_ mapping: Int, _ page: Int, write: Bool) async throws(OperationFailure) {
    await kernel.point()
    let state = mappings[mapping].pages[page]
    let allowed = write ? state.protection == .readWrite : state.protection != .none
    guard state.isMapped && allowed else {
      throw OperationFailure(.signal(.SIGSEGV, detail: "P\(page)"))
    }
    if state.side == .device {
      do throws(KernelError) {
        try kernel.failures.check(.dmaMap)
        try kernel.failures.check(.copySubmit)
      } catch {
        throw OperationFailure(.signal(.SIGBUS, detail: "\(error)"))
      }
    }
    mappings[mapping].pages[page].side = .ram
  }

  func store(_ span: ByteSpan, _ bytes: [UInt8], by: Accessor) async throws(OperationFailure) {
    let mapping = index(span.mapping)
    var last = -1
    for (index, byte) in bytes.enumerated() {
      let at = span.offset + index
      let page = at / PageSize.bytes
      if page != last && by == .cpu { try await fault(mapping, page, write: true) }
      last = page
      mappings[mapping].pages[page].bytes[at % PageSize.bytes] = byte
    }
  }

  func load(_ span: ByteSpan, by: Accessor) async throws(OperationFailure) -> [UInt8] {
    let mapping = index(span.mapping)
    var result: [UInt8] = []
    var last = -1
    for at in span.range {
      let page = at / PageSize.bytes
      if page != last && by == .cpu { try await fault(mapping, page, write: false) }
      last = page
      result.append(mappings[mapping].pages[page].bytes[at % PageSize.bytes])
    }
    return result
  }

  func touch(_ span: PageSpan, write: Bool) async throws(OperationFailure) {
    for page in span.pages.pages { try await fault(index(span.mapping), page, write: write) }
  }

  func migrate(_ span: PageSpan, to side: MemorySide) async throws(OperationFailure) -> Int {
    let mapping = index(span.mapping)
    var moved = 0
    for page in span.pages.pages {
      await kernel.point()
      let state = mappings[mapping].pages[page]
      guard state.isMapped && state.pins == 0 else { continue }
      if side == .ram && state.side != .device { continue }
      if side == .device && state.side == .device { continue }
      do throws(KernelError) { try kernel.failures.check(.dmaMap) } catch { continue }
      mappings[mapping].pages[page].side = side == .device ? .device : .ram
      if corruptsOnMigration { mappings[mapping].pages[page].bytes[0] ^= 0xff }
      moved += 1
    }
    emitted += 1
    kernel.trace.record(Self.emit, 1, emitted)
    await kernel.sleep(1_000)
    kernel.trace.record(Self.signal, 1, emitted)
    if side == .device { movedToDevice += UInt64(moved) }
    return moved
  }

  func protect(_ span: PageSpan, _ protection: ScenarioProtection) async throws(OperationFailure) {
    for page in span.pages.pages {
      mappings[index(span.mapping)].pages[page].protection = protection
    }
  }

  func unmap(_ span: PageSpan) async throws(OperationFailure) {
    for page in span.pages.pages {
      mappings[index(span.mapping)].pages[page].isMapped = false
      mappings[index(span.mapping)].pages[page].side = .none
    }
  }

  func exit(process: String) async throws(OperationFailure) {}

  func pin(_ span: PageSpan, _ kind: PinKind) async throws(OperationFailure) -> Int {
    try await touch(span, write: kind.write)
    for page in span.pages.pages { mappings[index(span.mapping)].pages[page].pins += 1 }
    handles.append(span)
    return handles.count - 1
  }

  func unpin(_ handle: Int) async throws(OperationFailure) {
    guard let span = handles[handle] else { throw OperationFailure(.EBADF) }
    for page in span.pages.pages { mappings[index(span.mapping)].pages[page].pins -= 1 }
    handles[handle] = nil
  }

  func hold(mapping: String, page: Int) async throws(OperationFailure) -> Int {
    try await pin(PageSpan(mapping: mapping, pages: PageRange(page, page)), PinKind())
  }

  func release(_ handle: Int) async throws(OperationFailure) { try await unpin(handle) }
  func suspend() async throws(OperationFailure) {}
  func resume() async throws(OperationFailure) {}
  func trim() async throws(OperationFailure) {}

  func teardown() async throws(OperationFailure) {
    for mapping in mappings {
      _ = try await migrate(
        PageSpan(mapping: mapping.plan.name, pages: mapping.plan.allPages), to: .ram)
    }
  }

  func location(mapping: String, page: Int) -> PageLocation {
    mappings[index(mapping)].pages[page].side
  }

  func peek(mapping: String, page: Int) -> [UInt8]? {
    let state = mappings[index(mapping)].pages[page]
    return state.side == .none ? nil : state.bytes
  }

  func counter(_ name: String) -> UInt64? { name == "pages-to-device" ? movedToDevice : nil }
  func fenceCounts() -> FenceCounts { FenceCounts(signalled: emitted) }
  func audit() -> [String] { offences }
}

/// What the kit's tests share.
enum Kit {
  static let header = """
    scenario: test
    summary: A test.
    processes:
      - name: app
        mappings:
          - {name: buffer, size: 16 pages}
    steps:

    """

  /// A scenario of these steps on one mapping `buffer` of 16 pages.
  static func scenario(_ steps: String) throws -> Scenario {
    let body = steps.split(separator: "\n", omittingEmptySubsequences: false)
      .map { "  " + $0 }.joined(separator: "\n")
    return try ScenarioParser().parse(header + body + "\n", file: "test.yaml")
  }

  /// Runs steps on a fake that `adjust` may spoil.
  static func run(
    _ steps: String, seed: UInt64? = nil, adjust: @escaping (FakeTarget) -> Void = { _ in }
  ) throws -> RunReport {
    let runner = ScenarioRunner { request in
      let target = FakeTarget(request)
      adjust(target)
      return target
    }
    return runner.run(try scenario(steps), RunOptions(seed: seed)).report
  }

  /// The messages for a file that can't be read; empty when it can.
  static func errors(_ text: String) -> [String] {
    do throws(ScenarioErrors) {
      _ = try ScenarioParser().parse(text, file: "f.yaml")
      return []
    } catch {
      return error.diagnostics.map(\.description)
    }
  }
}
