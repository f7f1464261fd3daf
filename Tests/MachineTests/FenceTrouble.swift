import Base
import KernelRuntime
import Nouveau

/// Where copies and their fences come from.
enum FenceWay: CaseIterable, Sendable {
  case toDevice
  case back
  case fault
  case eviction
}

/// What is done to fences, and the errors that a waiter may get; nil is success.
enum FenceTrouble: Sendable, CustomStringConvertible {
  case point(InjectionPoint, FailurePlan.When, [KernelError?])
  /// The channel is dead before anything is emitted.
  case deadChannel
  /// The channel is killed while copies are in flight, and a fence is emitted right afterwards.
  case killInFlight(KernelError)
  /// The numbers pass 2^32 between batches; with a point, fences fail on both sides of it.
  case wrap(InjectionPoint?)
  /// The board falls off the bus at the n-th access from the begin of the flow.
  case lost(UInt64)

  var description: String {
    switch self {
    case .point(let point, let when, _): "\(point.name), \(when)"
    case .deadChannel: "channel dead"
    case .killInFlight(let error): "killed with \(error) in flight"
    case .wrap(let point): "numbers wrap" + (point.map { " with \($0.name)" } ?? "")
    case .lost(let access): "board lost at access \(access)"
    }
  }

  /// Failures of emit; each is an error of the flow and nothing was told to the engine.
  static let emitting: [FenceTrouble] = [
    .point(.ringSpace, .nth(1), [.EBUSY]), .point(.fenceAlloc, .nth(1), [.ENOMEM]),
    .point(.fenceEmit, .nth(1), [.ENODEV]), .point(.ringSpace, .nth(2), [nil, .EBUSY]),
    .deadChannel,
  ]
  /// What the hardware does wrong. A wrong number is put right by the next fence.
  static let signalling: [FenceTrouble] = [
    .point(.interruptEarly, .always, [nil]), .point(.interruptLost, .always, [nil]),
    .point(.interruptStorm, .always, [nil]), .point(.fenceStall, .nth(1), [nil, .ETIMEDOUT]),
    .point(.fenceStall, .always, [.ETIMEDOUT]), .point(.fenceLate, .nth(1), [.ETIMEDOUT]),
    .point(.fenceWrongValue, .nth(1), [nil, .ETIMEDOUT]),
    .point(.fenceWrongValue, .always, [.ETIMEDOUT]), .killInFlight(.EIO), .killInFlight(.ENODEV),
    .wrap(nil), .wrap(.fenceStall),
  ]

  static let losing: [FenceTrouble] = [.lost(1), .lost(2), .lost(7)]

  static let all = emitting + signalling + losing

  var losesTheBoard: Bool {
    if case .lost = self { true } else { false }
  }

  /// Whether no copy succeeds while it lasts.
  var neverEnds: Bool {
    switch self {
    case .point(_, .always, [.ETIMEDOUT]), .wrap(.some): true
    default: false
    }
  }

  /// Whether a waiter sits out the 15 s.
  var takesTheLimit: Bool { errors.contains(.ETIMEDOUT) }

  /// Whether some runs never pass its point: those that poll take no interrupt, a CPU fault emits
  /// once, and whoever kills may come too late.
  var mayNotStrike: Bool {
    switch self {
    case .point(let point, let when, _):
      [.interruptLost, .interruptStorm].contains(point) || when == .nth(2)
    case .killInFlight, .lost: true
    case .deadChannel, .wrap: false
    }
  }

  var errors: [KernelError?] {
    switch self {
    case .point(_, _, let errors): errors
    // The next batch rebuilds the channel.
    case .deadChannel: [nil]
    case .killInFlight(let error): [nil, error]
    case .wrap(let point): [point == nil ? nil : .ETIMEDOUT]
    case .lost: [.ENODEV, .EIO]
    }
  }
}
