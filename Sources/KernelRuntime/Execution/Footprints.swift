import Base

/// Something that steps share, as a strategy that prunes equivalent orders tells it apart.
public struct SharedObject: Hashable, Sendable {
  let raw: UInt64

  private init(space: UInt64, _ index: UInt64) { raw = space << 56 | index & (1 << 56 - 1) }

  /// Data of a flow's own, under a number of its own choice.
  public static func data(_ index: UInt64) -> SharedObject { SharedObject(space: 1, index) }
  /// The clock: whoever reads it depends on when time passes.
  public static let clock = SharedObject(space: 2, 0)
  /// The set of timers.
  static let timers = SharedObject(space: 2, 1)
  /// The numbers given to new runnables.
  package static let ids = SharedObject(space: 2, 2)
  /// The stream of draws.
  static let draws = SharedObject(space: 2, 3)
  /// Steps put off to atomic context.
  static let deferred = SharedObject(space: 2, 4)
  /// A fence, by its timeline and number.
  package static func fence(_ context: UInt64, _ seqno: UInt64) -> SharedObject {
    SharedObject(space: 5, context << 32 ^ seqno)
  }
  /// A timeline of fences: its order, its links, which of its fences exist.
  package static func timeline(_ context: UInt64) -> SharedObject {
    SharedObject(space: 6, context)
  }
  static func lock(_ instance: Int) -> SharedObject {
    SharedObject(space: 3, UInt64(truncatingIfNeeded: instance))
  }
  static func runnable(_ id: Int) -> SharedObject {
    SharedObject(space: 4, UInt64(truncatingIfNeeded: id))
  }
}

/// What each step of a run read and wrote, between one decision and the next.
///
/// The runtime notes its own objects (locks, wait queues, readiness, timers, draws). A flow notes
/// its data with ``Kernel/touch(_:writing:)``; pruning is sound only for flows that note all of
/// them.
public final class Footprints {
  struct Access: Hashable {
    let object: UInt64
    let writing: Bool
  }

  /// A stretch in which one runnable ran.
  struct Segment {
    /// The runnable, or -1 where time passed, which everything depends on.
    let id: Int
    var accesses: [Access] = []

    func isIndependent(of other: Segment) -> Bool {
      if id < 0 || other.id < 0 || id == other.id { return false }
      for mine in accesses {
        for theirs in other.accesses
        where mine.object == theirs.object && (mine.writing || theirs.writing) {
          return false
        }
      }
      return true
    }
  }

  private(set) var segments: [Segment] = []

  init() {}

  func begin(_ id: Int) {
    if segments.last?.id == id { return }
    segments.append(Segment(id: id))
  }

  func touch(_ object: SharedObject, writing: Bool) {
    guard !segments.isEmpty else { return }
    let access = Access(object: object.raw, writing: writing)
    let last = segments.count - 1
    if !segments[last].accesses.contains(access) { segments[last].accesses.append(access) }
  }

  func clear() { segments.removeAll(keepingCapacity: true) }
}

extension KernelLifetime {
  /// As ``Kernel/touch(_:writing:)``, for objects that may outlive their kernel.
  @inline(__always)
  package func touch(_ object: @autoclosure () -> SharedObject, writing: Bool = true) {
    if let footprints { footprints.touch(object(), writing: writing) }
  }
}

extension Kernel {
  /// The number of a new object that steps share; see ``touch(_:writing:)``.
  package func takeSharedObject() -> SharedObject {
    touch(.ids)
    return .lock(lockChecks.takeInstance())
  }

  /// Notes that the running step reads or writes `object`, for strategies that leave out equivalent
  /// orders. Costs nothing under any other.
  @inline(__always)
  public func touch(_ object: @autoclosure () -> SharedObject, writing: Bool = true) {
    if let footprints { footprints.touch(object(), writing: writing) }
  }
}
