import Base
import KernelRuntime

/// One run of one scenario on one target: the state that its steps share.
final class RunSession {
  let scenario: Scenario
  let target: any ScenarioTarget
  let observer: ((RunProgress) -> Void)?

  var shadows: [(name: String, copy: ShadowCopy)] = []
  var pins: [(name: String, handle: Int)] = []
  var locks: [(name: String, handle: Int)] = []
  var tasks: [(name: String, task: KernelTask)] = []
  /// Armed failures in step with the rules of the kernel's plan: same order, same removals.
  var armed: [(request: FailureRequest, step: Step)] = []
  var strikes: [(key: InjectionPoint, count: UInt64)] = []
  /// Outcomes of the steps so far that were no success, by name.
  var errors: [(key: String, count: UInt64)] = []
  var mismatches: [Mismatch] = []
  /// The memory under a page failed because the scenario said so: its bytes may be gone.
  var hasPoisoned = false
  var stepCount = 0
  /// Whether migrations are to say why pages stayed.
  let explains: Bool
  /// What migrations to the device did, when they are to say.
  var migrations: [MigrationNote] = []
  /// The explorer's run that this is; nil outside explorations.
  let flow: FlowRun?
  private let fills: FillCache?

  init(
    _ scenario: Scenario, _ target: any ScenarioTarget, _ observer: ((RunProgress) -> Void)?,
    flow: FlowRun? = nil, fills: FillCache? = nil, explains: Bool = false
  ) {
    self.explains = explains || Self.expectsReasons(scenario.steps)
    self.scenario = scenario
    self.target = target
    self.observer = observer
    self.flow = flow
    self.fills = fills
  }

  /// A failure that the scenario doesn't know of has struck: steps may come back with errors, and
  /// what the scenario expects of counts and places no longer binds. Bytes and the audit do.
  var isTolerant: Bool {
    flow != nil && target.kernel.failures.rules.contains { $0.isPinned && $0.strikes > 0 }
  }

  /// The run is over because something did not hold.
  var isStopped: Bool { !mismatches.isEmpty }

  /// The end of the file, for what belongs to no step.
  var endMark: SourceMark {
    scenario.steps.last?.mark ?? SourceMark(file: scenario.file, line: 1, column: 1)
  }

  func fail(_ step: Step, expected: String, got: String) {
    mismatches.append(
      Mismatch(
        step: step.number, title: step.title, mark: step.mark, expected: expected, got: got))
  }

  func failAtEnd(_ title: String, expected: String, got: String) {
    mismatches.append(
      Mismatch(step: "end", title: title, mark: endMark, expected: expected, got: got))
  }

  // MARK: the whole run

  /// Set-up, steps, joins, audit.
  func main() async {
    target.kernel.failures.observer = { [unowned self] point, _ in
      Self.count(&strikes, point)
    }
    flow?.beginSetUp()
    guard await setUp() else {
      flow?.endSetUp()
      if isTolerant { await endAfterFailure() }
      return
    }
    await run(Array(scenario.steps.prefix(prelude)))
    flow?.endSetUp()
    await run(Array(scenario.steps.dropFirst(prelude)))
    for (_, task) in tasks { await task.join() }
    settle(nil)
    flow?.eventsAtEnd = target.kernel.trace.events.count
    target.kernel.failures.disarm()
    if isStopped { return }
    if isTolerant { return await endAfterFailure() }
    if flow != nil { checkBytesInPlace() }
    await auditAtEnd()
  }

  /// How many steps come before the first that starts tasks: they belong to the set-up, since
  /// nothing runs beside them but the driver. None where no step starts tasks.
  private var prelude: Int { scenario.steps.firstIndex(where: Self.startsTasks) ?? 0 }

  private static func startsTasks(_ step: Step) -> Bool {
    switch step.action {
    case .parallel, .spawn: true
    case .repeated(_, let steps): steps.contains(where: startsTasks)
    default: false
    }
  }

  private func setUp() async -> Bool {
    do throws(OperationFailure) {
      try await target.start()
      for process in scenario.processes {
        try await target.addProcess(process.name)
        for mapping in process.mappings {
          try await target.map(mapping)
          shadows.append((mapping.name, try shadow(of: mapping)))
        }
      }
      return true
    } catch {
      if isTolerant {
        flow?.returned("set-up", error.outcome)
      } else {
        failAtEnd("set-up of processes and mappings", expected: "success", got: "\(error)")
      }
      return false
    }
  }

  private func shadow(of mapping: MappingPlan) throws(OperationFailure) -> ShadowCopy {
    do throws(KernelError) {
      return try ShadowCopy(byteCount: mapping.allPages.byteCount, from: flow?.hostMemory)
    } catch {
      throw OperationFailure(error)
    }
  }

  func auditAtEnd() async {
    await target.quiesce()
    for offence in target.audit() {
      failAtEnd("audit of the machine", expected: Mismatch.auditExpectation, got: offence)
    }
  }

  /// Checks that the rules of `point`, or all, have fired. Called before they are taken back.
  func settle(_ point: InjectionPoint?) {
    let rules = target.kernel.failures.rules
    for (index, entry) in armed.enumerated() where index < rules.count {
      guard point == nil || entry.request.point == point else { continue }
      // A run that ended early had no chance to get there.
      if rules[index].strikes == 0 && !entry.request.isOptional && !isStopped && !isTolerant {
        fail(
          entry.step, expected: "\(entry.request.point.name) fails, \(entry.request.when)",
          got: "it never fired (passed \(target.kernel.failures.passages(of: entry.request.point)) "
            + "times since the start)")
      }
    }
    armed.removeAll { point == nil || $0.request.point == point }
  }

  /// Whether a step expects a reason.
  private static func expectsReasons(_ steps: [Step]) -> Bool {
    steps.contains { step in
      switch step.action {
      case .expect(let expectation): !expectation.reasons.isEmpty
      case .parallel(let branches): branches.contains { expectsReasons($0.steps) }
      case .spawn(let branch): expectsReasons(branch.steps)
      case .repeated(_, let steps): expectsReasons(steps)
      default: false
      }
    }
  }

  // MARK: small tables

  func fillBytes(_ step: Step, _ source: FillSource, _ span: ByteSpan) -> [UInt8] {
    fills?[step.number] ?? source.bytes(for: span)
  }

  func shadow(_ mapping: String) -> ShadowCopy {
    guard let found = shadows.first(where: { $0.name == mapping }) else {
      invariantFailed("the mapping \(mapping) has no shadow copy")
    }
    return found.copy
  }

  static func count<Key: Equatable>(_ table: inout [(key: Key, count: UInt64)], _ key: Key) {
    if let index = table.firstIndex(where: { $0.key == key }) {
      table[index].count += 1
    } else {
      table.append((key, 1))
    }
  }
}
