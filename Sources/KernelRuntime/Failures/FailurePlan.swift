public import Base

/// Which injection points fail, when, and how; and how often each was passed.
public final class FailurePlan {
  /// Which passages of a point fail, counted from 1 at the time the rule is armed.
  public enum When: Hashable, Sendable, CustomStringConvertible {
    case nth(UInt64)
    case from(UInt64)
    case always

    func covers(_ passage: UInt64) -> Bool {
      switch self {
      case .nth(let n): passage == n
      case .from(let n): passage >= n
      case .always: true
      }
    }

    public var description: String {
      switch self {
      case .nth(let n): "passage \(n)"
      case .from(let n): "passage \(n) and later"
      case .always: "every passage"
      }
    }
  }

  /// One armed failure.
  public struct Rule: Hashable, Sendable {
    public let point: InjectionPoint
    public let when: When
    /// The error thrown; nil for a device fault.
    public let error: KernelError?
    /// Passages of the point before the rule was armed.
    let base: UInt64
    /// It stays when rules are taken back: whoever runs the flow asked for it, not the flow.
    public let isPinned: Bool
    /// How often it has struck.
    public fileprivate(set) var strikes: UInt64 = 0
  }

  /// The armed rules in order of arming, pinned ones after all others.
  public private(set) var rules: [Rule] = []
  private var passages = InlineArray<64, UInt64>(repeating: 0)
  private var armed: UInt64 = 0
  /// The passages when the first rule struck, the one that failed among them; nil before that.
  private var firstStrike: InlineArray<64, UInt64>?
  /// The points that have struck, one bit each.
  private var struck: UInt64 = 0
  /// Told of each strike.
  public var observer: ((InjectionPoint, KernelError?) -> Void)?
  /// Told of each passage, failing or not, for a run that learns where failures can strike. While
  /// it is set the plan isn't quiet, so that passages are counted one by one as when a rule is
  /// armed.
  public var passageObserver: ((InjectionPoint) -> Void)? { didSet { updateArmed() } }
  private var isSilent = false
  /// The passages up to ``silence()``; nil before it.
  private var audible: InlineArray<64, UInt64>?

  public init() {}

  /// Arms a failure; `error` defaults to the point's usual one. A pinned one can't be taken back.
  public func arm(
    _ point: InjectionPoint, _ when: When, error: KernelError? = nil, isPinned: Bool = false
  ) {
    let rule = Rule(
      point: point, when: when, error: error ?? point.errors.first, base: passages[point.slot],
      isPinned: isPinned)
    rules.insert(rule, at: isPinned ? rules.count : rules.count { !$0.isPinned })
    updateArmed()
  }

  /// Takes back every rule of `point`, or all rules, but for pinned ones.
  public func disarm(_ point: InjectionPoint? = nil) {
    rules.removeAll { !$0.isPinned && (point == nil || $0.point == point) }
    updateArmed()
  }

  /// From here on no passage fails; the rules stay, so that their strikes can be read.
  public func silence() {
    if audible == nil { audible = passages }
    isSilent = true
    updateArmed()
  }

  private func updateArmed() {
    let asked: UInt64 = isSilent ? 0 : rules.reduce(0) { $0 | 1 << UInt64($1.point.slot) }
    armed = passageObserver == nil ? asked : .max
  }

  /// How often `point` was passed.
  public func passages(of point: InjectionPoint) -> UInt64 { passages[point.slot] }

  /// Whether any point was passed.
  public var hasPassages: Bool { passages.indices.contains { passages[$0] > 0 } }

  /// How often `point` was passed while a rule could strike, which is before ``silence()``.
  public func passagesThatCanFail(of point: InjectionPoint) -> UInt64 {
    audible?[point.slot] ?? passages[point.slot]
  }

  /// How often `point` was passed up to the first strike of any rule, that passage among them; 0
  /// when none has struck.
  public func passagesAtFirstStrike(of point: InjectionPoint) -> UInt64 {
    firstStrike?[point.slot] ?? 0
  }

  /// Whether a failure of `point` has struck, by a rule that stands or one taken back since.
  public func hasStruck(_ point: InjectionPoint) -> Bool { struck & 1 << UInt64(point.slot) != 0 }

  /// Passes a point that can give an error; throws it when a rule covers this passage.
  @inline(__always)
  public func check(_ point: InjectionPoint) throws(KernelError) {
    passages[point.slot] &+= 1
    if armed & (1 << UInt64(point.slot)) != 0, let rule = strike(point) {
      throw rule.error ?? .EIO
    }
  }

  /// Passes a point of a device fault; true when a rule covers this passage.
  @inline(__always)
  public func fires(_ point: InjectionPoint) -> Bool {
    passages[point.slot] &+= 1
    return armed & (1 << UInt64(point.slot)) != 0 && strike(point) != nil
  }

  /// Whether no rule is armed, so that no passage fails.
  ///
  /// A loop over pages may then count its passages at once with ``pass(_:times:)``.
  public var isQuiet: Bool { armed == 0 }

  /// Counts passages of a point while the plan is quiet.
  public func pass(_ point: InjectionPoint, times: Int) {
    invariant(isQuiet, "passages of \(point.name) counted at once while a rule is armed")
    passages[point.slot] &+= UInt64(times)
  }

  private func strike(_ point: InjectionPoint) -> Rule? {
    passageObserver?(point)
    if isSilent { return nil }
    // Pinned rules stand at the end and come first: where a flow fails the same passage itself,
    // whoever asked for the failure must see it strike.
    for index in rules.indices.reversed() where rules[index].point == point && rules[index].isPinned
    {
      if let struck = strike(index) { return struck }
    }
    for index in rules.indices where rules[index].point == point && !rules[index].isPinned {
      if let struck = strike(index) { return struck }
    }
    return nil
  }

  /// Strikes with the rule at `index` when it covers this passage.
  private func strike(_ index: Int) -> Rule? {
    let rule = rules[index]
    let passage = passages[rule.point.slot]
    guard rule.when.covers(passage - rule.base) else { return nil }
    rules[index].strikes += 1
    struck |= 1 << UInt64(rule.point.slot)
    if firstStrike == nil { firstStrike = passages }
    observer?(rule.point, rule.error)
    return rule
  }
}
