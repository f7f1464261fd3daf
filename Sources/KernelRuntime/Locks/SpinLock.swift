import Base

/// A lock for sections that don't sleep (`spinlock_t`).
///
/// The body is synchronous, so sleeping under the lock doesn't compile. Since nothing else runs
/// between two awaits, the lock can't be contended; it exists to state which data belong together
/// and to trap when a section is entered twice, which would be a deadlock in the kernel.
public final class SpinLock {
  public let name: String
  public private(set) var isHeld = false

  public init(_ name: String) { self.name = name }

  /// Runs `body` with the lock held.
  @inlinable
  public func withLock<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
    enter()
    defer { leave() }
    return try body()
  }

  @usableFromInline
  func enter() {
    invariant(!isHeld, "spinlock \(name) taken twice on one path")
    isHeld = true
  }

  @usableFromInline
  func leave() { isHeld = false }
}
