/// Traps with file, line and message when `condition` is false.
///
/// For programmer errors only; an operating error is a ``KernelError``. Built on `fatalError`
/// because a failing `precondition` prints nothing in an optimised build.
@inlinable
@inline(__always)
public func invariant(
  _ condition: Bool,
  _ message: @autoclosure () -> String,
  file: StaticString = #fileID,
  line: UInt = #line
) {
  if _slowPath(!condition) {
    invariantFailed(message(), file: file, line: line)
  }
}

/// Traps at a place that a correct program cannot reach.
@inline(never)
public func invariantFailed(
  _ message: String,
  file: StaticString = #fileID,
  line: UInt = #line
) -> Never {
  fatalError("invariant: \(message)", file: file, line: line)
}
