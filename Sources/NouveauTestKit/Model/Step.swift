public import Base
public import KernelRuntime

/// One step of a scenario.
public struct Step: Sendable {
  /// Its number from the top of the file, such as `4` or `4.mover.2`.
  public let number: String
  /// What reports call it.
  public let title: String
  public let mark: SourceMark
  /// Which GPU it is about; nil where the scenario doesn't say.
  public var gpu: Int?
  /// What it may come back with.
  public let outcomes: [OutcomePattern]
  public let action: Action

  /// What a step does.
  public indirect enum Action: Sendable {
    case fill(PageSpan, FillSource, Accessor)
    case write(ByteSpan, [UInt8], Accessor)
    case read(ByteSpan, ReadCheck, Accessor)
    case touch(PageSpan, write: Bool)
    case migrate(PageSpan, MemorySide, moved: Comparison?)
    case pin(name: String, PageSpan, PinKind)
    case unpin(name: String)
    case hold(name: String, mapping: String, page: Int)
    case release(name: String)
    case protect(PageSpan, ScenarioProtection)
    case unmap(PageSpan)
    case fork(ForkPlan)
    case move(mapping: String, keep: Bool)
    /// `clears` when pages that go read as zeros.
    case advise(PageSpan, ScenarioAdvice, clears: Bool)
    case poison(mapping: String, page: Int)
    case exit(process: String)
    case parallel([Branch])
    case repeated(times: Int, [Step])
    case spawn(Branch)
    case join(task: String)
    case arm(FailureRequest)
    case disarm(InjectionPoint?)
    case delay(nanoseconds: UInt64)
    case suspend
    case resume
    case trim
    case teardown
    case expect(Expectation)
  }
}

extension Step.Action {
  /// Whether it makes a difference which GPU a step is about.
  var canNameGPU: Bool {
    switch self {
    case .fill(_, _, let by), .write(_, _, let by), .read(_, _, let by): by == .device
    case .migrate, .suspend, .resume, .trim, .teardown, .expect: true
    default: false
    }
  }
}

/// How pages are pinned.
public struct PinKind: Hashable, Sendable {
  public var write = false
  /// For as long as the user likes (`FOLL_LONGTERM`).
  public var isLongTerm = false

  public init(write: Bool = false, isLongTerm: Bool = false) {
    self.write = write
    self.isLongTerm = isLongTerm
  }
}

/// A process that is copied, with the names that its copy's mappings go by.
public struct ForkPlan: Hashable, Sendable {
  public struct Pair: Hashable, Sendable {
    /// Of the parent.
    public let mapping: String
    public let copy: String
    /// Both see each other's stores.
    public let isShared: Bool
  }

  public let process: String
  public let child: String
  public let mappings: [Pair]
}

/// Steps that run as a task of their own.
public struct Branch: Sendable {
  public let name: String
  public let steps: [Step]
}

/// A failure to arm.
public struct FailureRequest: Hashable, Sendable {
  public let point: InjectionPoint
  public let when: FailurePlan.When
  /// Nil asks for the point's usual error.
  public let error: KernelError?
  /// The run may pass although it never fired.
  public let isOptional: Bool
}

/// Where the bytes of a fill come from.
public enum FillSource: Hashable, Sendable {
  case index
  case pageNumber
  case ones
  case zeros
  case random(seed: UInt64)
  case bytes([UInt8])
  /// The content of a file, read when the scenario was; zeros behind its end.
  case file(name: String, [UInt8])
}

/// What a read should give.
public enum ReadCheck: Hashable, Sendable {
  case shadow
  case zeros
  case anything
  case bytes([UInt8])
}

/// What an operation came back with.
public enum StepOutcome: Hashable, Sendable, CustomStringConvertible {
  case success
  /// SIGSEGV or SIGBUS of a CPU access, with what the access says of it.
  case signal(Signal, detail: String)
  /// An access found no memory.
  case outOfMemory(detail: String)
  /// A call returned an error.
  case error(KernelError)

  public enum Signal: String, Sendable, CaseIterable {
    case SIGSEGV
    case SIGBUS
  }

  /// The name that scenarios use for it.
  public var name: String {
    switch self {
    case .success: "none"
    case .signal(let signal, _): signal.rawValue
    case .outOfMemory: "OOM"
    case .error(let error): error.name
    }
  }

  public var description: String {
    switch self {
    case .success: "success"
    case .signal(let signal, let detail): "\(signal.rawValue) (\(detail))"
    case .outOfMemory(let detail): "OOM (\(detail))"
    case .error(let error): error.name
    }
  }
}

/// What an outcome should be.
public enum OutcomePattern: Hashable, Sendable, CustomStringConvertible {
  case any
  /// By the name that scenarios use: `none`, `SIGBUS`, `EIO`.
  case named(String)

  public func matches(_ outcome: StepOutcome) -> Bool {
    switch self {
    case .any: true
    case .named(let name): outcome.name == name
    }
  }

  public var description: String {
    switch self {
    case .any: "anything"
    case .named(let name): name == "none" ? "success" : name
    }
  }
}
