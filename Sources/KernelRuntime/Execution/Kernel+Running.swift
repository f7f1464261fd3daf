public import Base
import DequeModule
import HeapModule

extension Kernel {
  /// Runs `body` as a task of this kernel, on the calling thread, until it returns.
  ///
  /// Other tasks run as they are scheduled; those that are left when the body returns go on in the
  /// next run. Throws ``RunFailure`` when nothing can run any more or the step limit is passed.
  public func run<T>(_ name: String = "main", _ body: @escaping () async -> T) throws(RunFailure)
    -> T
  {
    var result: T?
    let task = spawn(name) { result = await body() }
    try loop { task.isFinished }
    guard let result else { invariantFailed("task \(name) ended without a result") }
    return result
  }

  /// As ``run(_:_:)``, for a body that throws a kernel error; the error comes back as a result.
  public func runThrowing<T>(
    _ name: String = "main", _ body: @escaping () async throws(KernelError) -> T
  ) throws(RunFailure) -> Result<T, KernelError> {
    try run(name) { () async -> Result<T, KernelError> in
      do throws(KernelError) {
        return .success(try await body())
      } catch {
        return .failure(error)
      }
    }
  }

  /// Runs until no task and no agent is ready and no timer is pending.
  ///
  /// Returns the tasks that still sleep then; an empty list means that everything ended.
  @discardableResult
  public func runUntilIdle() throws(RunFailure) -> [BlockedTask] {
    do throws(RunFailure) {
      try loop { ready.isEmpty && chosenNext == nil && timers.isEmpty && inbox?.isIdle ?? true }
    } catch {
      guard case .deadlock = error else { throw error }
    }
    return blockedTasks()
  }
}
