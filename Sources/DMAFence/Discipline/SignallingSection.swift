public import KernelRuntime

// Sections that a fence's signalling waits for: from publishing a fence to signalling it.
//
// Inside, no sleeping lock, no allocation that reclaims and no wait for a fence may occur, because
// whoever holds that lock or frees that memory may himself wait for the fence. An offence is
// recorded with its chain in the kernel's lock checks; the flow goes on.
extension Kernel {
  /// Runs `body` as part of what a fence's signalling waits for (`dma_fence_begin_signalling`).
  ///
  /// In an agent's step, which can't sleep, it changes nothing.
  public func signalling<T, E: Error>(_ body: () async throws(E) -> T) async throws(E) -> T {
    let cookie = beginSignalling()
    do throws(E) {
      let result = try await body()
      endSignalling(cookie)
      return result
    } catch {
      endSignalling(cookie)
      throw error
    }
  }

  /// Opens a section; ``endSignalling(_:)`` closes it. Sections nest.
  public func beginSignalling() -> SignallingCookie {
    guard let task = currentTask else { return SignallingCookie(task: nil) }
    task.beginSignalling()
    return SignallingCookie(task: task)
  }

  /// Closes a section that the same task opened (`dma_fence_end_signalling`).
  public func endSignalling(_ cookie: consuming SignallingCookie) {
    cookie.close(currentTask)
  }
}
