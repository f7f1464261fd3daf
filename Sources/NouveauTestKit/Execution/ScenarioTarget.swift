public import Base
public import KernelRuntime

/// What an operation of a target failed with.
public struct OperationFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// Never `.success`.
  public let outcome: StepOutcome

  public init(_ outcome: StepOutcome) {
    invariant(outcome != .success, "an operation failed with success")
    self.outcome = outcome
  }

  public init(_ error: KernelError) { outcome = .error(error) }

  public var description: String { outcome.description }
}

/// What a run asks of the maker of a target.
public struct TargetRequest {
  /// The machine, with the seed and mode of the command line already put in.
  public let plan: MachinePlan
  /// The trace is to be kept.
  public let isTracing: Bool
  /// Instead of the plan's order: a strategy of the explorer.
  public var choices: (any Choices)?
  /// Instead of an empty plan of failures.
  public var failures: FailurePlan?
  /// Instead of a fresh trace.
  public var trace: Trace?
  /// Host memory that runs of one thread use one after the other; nil for a machine's own.
  public var hostMemory: MemorySupply?

  public init(plan: MachinePlan, isTracing: Bool = false) {
    self.plan = plan
    self.isTracing = isTracing
  }

  /// The runtime that the plan asks for. A target must use it, so that seeds, orders, failures and
  /// traces are under the caller's control.
  public func makeKernel() -> Kernel {
    Kernel(
      mode: plan.isRealTime ? .realTime : .simulated, choices: makeChoices(),
      failures: failures ?? FailurePlan(), trace: trace ?? Trace(isOn: isTracing))
  }

  /// Where order and draws come from.
  public func makeChoices() -> any Choices {
    if let choices { return choices }
    switch plan.order {
    case .fifo: return FIFOChoices(seed: plan.seed)
    case .random: return RandomWalkChoices(seed: plan.seed)
    }
  }
}

/// How many fences have which status.
public struct FenceCounts: Hashable, Sendable {
  public var signalled: UInt64
  public var failed: UInt64
  public var pending: UInt64

  public init(signalled: UInt64 = 0, failed: UInt64 = 0, pending: UInt64 = 0) {
    self.signalled = signalled
    self.failed = failed
    self.pending = pending
  }
}

/// A machine that scenarios run on. The project's own is `MachineTarget`; a driver of somebody
/// else's joins by conforming.
///
/// Every operation is called from a task of ``kernel``, inside ``run(_:)``. Mappings and processes
/// go by their names in the scenario.
public protocol ScenarioTarget: AnyObject {
  var kernel: Kernel { get }

  /// Runs `body` as a task on the calling thread until it returns.
  func run(_ body: @escaping () async -> Void) throws(RunFailure)

  // Set-up, before the first step.
  /// The machine comes up, with its driver.
  func start() async throws(OperationFailure)
  func addProcess(_ name: String) async throws(OperationFailure)
  func map(_ plan: MappingPlan) async throws(OperationFailure)

  // Memory.
  func store(_ span: ByteSpan, _ bytes: [UInt8], by: Accessor) async throws(OperationFailure)
  func load(_ span: ByteSpan, by: Accessor) async throws(OperationFailure) -> [UInt8]
  func touch(_ span: PageSpan, write: Bool) async throws(OperationFailure)
  /// Pages that moved.
  func migrate(_ span: PageSpan, to side: MemorySide) async throws(OperationFailure) -> Int
  /// As above; adds the pages that stayed, by page, also when it throws. A target that can't tell
  /// needs not have it: then nothing is added, and scenarios can't expect reasons.
  func migrate(_ span: PageSpan, to side: MemorySide, stayed: inout [StayedPages])
    async throws(OperationFailure) -> Int
  func protect(_ span: PageSpan, _ protection: ScenarioProtection) async throws(OperationFailure)
  func unmap(_ span: PageSpan) async throws(OperationFailure)
  func exit(process: String) async throws(OperationFailure)
  func fork(_ plan: ForkPlan) async throws(OperationFailure)
  func move(_ mapping: String, keep: Bool) async throws(OperationFailure)
  func advise(_ span: PageSpan, _ advice: ScenarioAdvice) async throws(OperationFailure)
  func poison(mapping: String, page: Int) async throws(OperationFailure)

  // References and locks; the numbers are handles of the target's own.
  func pin(_ span: PageSpan, _ kind: PinKind) async throws(OperationFailure) -> Int
  func unpin(_ handle: Int) async throws(OperationFailure)
  func hold(mapping: String, page: Int) async throws(OperationFailure) -> Int
  func release(_ handle: Int) async throws(OperationFailure)

  // The device.
  func suspend() async throws(OperationFailure)
  func resume() async throws(OperationFailure)
  func trim() async throws(OperationFailure)
  func teardown() async throws(OperationFailure)

  // The same about one GPU by its number, where a machine has several.
  func store(_ span: ByteSpan, _ bytes: [UInt8], byGPU gpu: Int) async throws(OperationFailure)
  func load(_ span: ByteSpan, byGPU gpu: Int) async throws(OperationFailure) -> [UInt8]
  /// Pages that moved to or from the GPU; with `explains` adds to `stayed`.
  func migrate(
    _ span: PageSpan, to side: MemorySide, gpu: Int, explains: Bool, _ stayed: inout [StayedPages]
  ) async throws(OperationFailure) -> Int
  func suspend(gpu: Int) async throws(OperationFailure)
  func resume(gpu: Int) async throws(OperationFailure)
  func trim(gpu: Int) async throws(OperationFailure)
  func teardown(gpu: Int) async throws(OperationFailure)
  func counter(_ name: String, gpu: Int) -> UInt64?

  // Looking; nothing of this changes anything.
  func location(mapping: String, page: Int) -> PageLocation
  /// The page's bytes where they lie; nil where nothing lies.
  func peek(mapping: String, page: Int) -> [UInt8]?
  /// A counter by its name in the schema; nil when the target doesn't have it.
  func counter(_ name: String) -> UInt64?
  func fenceCounts() -> FenceCounts
  /// The run has come to no end and nothing of the target will be used again: gives back what a
  /// task that sleeps for ever would keep.
  func abandon()
  /// Whether somebody will still signal a fence that is waited for. Asked when nothing can run and
  /// nothing is due soon. A target that doesn't know says yes.
  func canSignalFence(context: UInt64, seqno: UInt64) -> Bool
  /// Sleeps until what the target does by itself in the background has ended, for an audit.
  func quiesce() async
  /// One line for each offence against the machine's invariants; asked after ``quiesce()``.
  func audit() -> [String]
}

// What a target need not have: a scenario that asks for it gets EOPNOTSUPP.
extension ScenarioTarget {
  public func canSignalFence(context: UInt64, seqno: UInt64) -> Bool { true }

  public func abandon() {}

  public func quiesce() async {}

  public func fork(_ plan: ForkPlan) async throws(OperationFailure) {
    throw OperationFailure(.EOPNOTSUPP)
  }

  public func move(_ mapping: String, keep: Bool) async throws(OperationFailure) {
    throw OperationFailure(.EOPNOTSUPP)
  }

  public func advise(_ span: PageSpan, _ advice: ScenarioAdvice) async throws(OperationFailure) {
    throw OperationFailure(.EOPNOTSUPP)
  }

  public func poison(mapping: String, page: Int) async throws(OperationFailure) {
    throw OperationFailure(.EOPNOTSUPP)
  }

  public func migrate(_ span: PageSpan, to side: MemorySide, stayed: inout [StayedPages])
    async throws(OperationFailure) -> Int
  {
    try await migrate(span, to: side)
  }
}
