import Base
import DequeModule

/// One answer of a strategy in one word, named by what it chose and not by its place in a list.
///
/// A name survives the removal of earlier decisions, which is what shortening a schedule does; an
/// index into the ready list doesn't.
public struct Decision: Hashable, Sendable {
  /// 0 the usual answer, 1 time, 2 + id a runnable; with the top bit, a draw's value.
  public let raw: UInt32

  init(raw: UInt32) { self.raw = raw }

  /// What the plain order does: the running task goes on, else the oldest ready runnable; a draw
  /// gives the next number of the seed.
  public static let usual = Decision(raw: 0)
  /// Time passes to the next event.
  public static let time = Decision(raw: 1)
  /// The runnable with this id goes next.
  public static func runnable(_ id: Int) -> Decision {
    Decision(raw: UInt32(truncatingIfNeeded: id) &+ 2)
  }
  /// A draw gives this value.
  public static func draw(_ value: Int) -> Decision {
    Decision(raw: drawBit | UInt32(truncatingIfNeeded: value) & ~drawBit)
  }

  private static let drawBit: UInt32 = 1 << 31

  /// The kinds of answers, as a printed schedule tells them apart.
  public enum Kind: Hashable, Sendable {
    case usual
    case time
    case runnable(id: Int)
    case draw(value: Int)
  }

  public var kind: Kind {
    if raw & Self.drawBit != 0 { return .draw(value: Int(raw & ~Self.drawBit)) }
    switch raw {
    case 0: return .usual
    case 1: return .time
    default: return .runnable(id: Int(raw) - 2)
    }
  }

  /// `pick` by name.
  init(_ pick: Pick, current: Runnable?, ready: borrowing Deque<Runnable>) {
    switch pick {
    case .current: self = .usual
    case .time: self = .time
    case .ready(let index):
      self = current == nil && index == 0 ? .usual : .runnable(ready[index].id)
    }
  }

  /// The pick that this decision names, nil when what it names isn't there to be chosen.
  func pick(
    current: Runnable?, ready: borrowing Deque<Runnable>, timeMayPass: Bool
  ) -> Pick? {
    switch kind {
    case .usual:
      return current != nil ? .current : ready.isEmpty ? nil : .ready(0)
    case .time:
      return timeMayPass ? .time : nil
    case .runnable(let id):
      for index in ready.indices where ready[index].id == id { return .ready(index) }
      return nil
    case .draw:
      return nil
    }
  }
}

/// What a strategy saw when it decided, as a number that any difference changes.
struct DecisionContext {
  private(set) var hash: UInt64 = 0x6e6f_7576_6561_7531

  mutating func mix(_ word: UInt64) {
    // FNV's step over whole words, with a rotation so that high bits reach low ones.
    hash = (hash ^ word) &* 0x0000_0100_0000_01b3
    hash = hash << 29 | hash >> 35
  }

  mutating func see(
    current: Runnable?, ready: borrowing Deque<Runnable>, timeMayPass: Bool
  ) {
    mix(UInt64(truncatingIfNeeded: current?.id ?? -1) << 1 | (timeMayPass ? 1 : 0))
    for index in ready.indices { mix(UInt64(truncatingIfNeeded: ready[index].id)) }
  }

  mutating func see(bound: Int) { mix(UInt64(truncatingIfNeeded: bound) | 1 << 63) }
}

extension SplitMix64 {
  /// The stream of draws for model data that belongs to a run's seed.
  ///
  /// Every strategy draws from it, so that a printed schedule lists only draws that differ.
  static func dataDraws(seed: UInt64) -> SplitMix64 {
    var generator = SplitMix64(seed: seed)
    _ = generator.split()
    return generator.split()
  }
}
