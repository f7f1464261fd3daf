extension Fence {
  /// Runs `body` when the fence is signalled (`dma_fence_add_callback`), with the fence's lock
  /// held.
  ///
  /// Nil, and `body` not run, when it is signalled already (-ENOENT): the caller then does itself
  /// what the callback would have done. The caller keeps the fence.
  @discardableResult
  public final func addCallback(_ body: @escaping (Fence) -> Void) -> FenceCallback? {
    if isSignaledFlag { return nil }
    enableSignaling()
    if isSignaledFlag { return nil }
    note()
    let callback = FenceCallback(body)
    callbacks.append(callback)
    return callback
  }

  /// Takes a callback back (`dma_fence_remove_callback`); false when it ran, runs now, or was
  /// removed before.
  ///
  /// A callback that removes itself gets false: it was taken off before it was run.
  @discardableResult
  public final func removeCallback(_ callback: FenceCallback) -> Bool {
    note()
    guard callback.body != nil, !isSignaledFlag else { return false }
    callback.body = nil
    callbacks.remove(callback)
    return true
  }
}
