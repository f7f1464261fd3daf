public import Base
public import KernelRuntime

/// One failure to inject: which passage of which point fails, with what.
public struct Injection: Hashable, Sendable, CustomStringConvertible {
  public let point: InjectionPoint
  /// The passage, from 1.
  public let nth: UInt64
  /// Later passages fail as well.
  public let persists: Bool
  /// Nil for a device fault, and for the point's usual error.
  public let error: KernelError?

  public init(
    _ point: InjectionPoint, nth: UInt64 = 1, persists: Bool = false, error: KernelError? = nil
  ) {
    self.point = point
    self.nth = max(nth, 1)
    self.persists = persists
    self.error = error ?? point.errors.first
  }

  func arm(_ plan: FailurePlan) {
    plan.arm(point, persists ? .from(nth) : .nth(nth), error: error, isPinned: true)
  }

  /// As in a token: `mm.page_alloc@3=ENOMEM`, with a `+` behind the number when later ones fail
  /// too.
  public var description: String {
    "\(point.name)@\(nth)\(persists ? "+" : "")" + (error.map { "=\($0.name)" } ?? "")
  }
}
