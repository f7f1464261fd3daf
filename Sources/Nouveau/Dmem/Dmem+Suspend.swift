package import Base
import KernelRuntime
import LinuxMM

extension Dmem {
  /// Lets go of VRAM for a suspend: the buffers' bytes go to host memory with the device's other
  /// buffers.
  ///
  /// Every GPU translation of a device page is taken away first, since the chunk may lie elsewhere
  /// after the resume (bugs.md L17, checks.md A11). Asleep already, after a resume that failed, it
  /// stays so. Kernel: nouveau_dmem_suspend
  package func suspend(_ processes: [SVMM]) async {
    let holdsChunks = isActive
    isActive = false
    resumeError = nil
    await waitForOperations()
    for svmm in processes { await svmm.unmapAll() }
    await chunkMutex.lock()
    for chunk in chunks {
      await closeWindow(chunk)
      if holdsChunks { chunk.buffer.unpin() }
    }
    chunkMutex.unlock()
  }

  /// Pins the chunks again, wherever they lie now, and lets sleeping faults go on.
  ///
  /// Throws when a chunk can't be pinned: nothing is lost, the driver stays suspended, and the
  /// resume can be tried again (nouveau only warns). Kernel: nouveau_dmem_resume
  package func resume() async throws(KernelError) {
    if isActive { return }
    await chunkMutex.lock()
    defer { chunkMutex.unlock() }
    for (index, chunk) in chunks.enumerated() {
      do throws(KernelError) {
        try chunk.buffer.pin()
      } catch {
        for pinned in chunks[..<index] { pinned.buffer.unpin() }
        throw error
      }
    }
    isActive = true
    resumeError = nil
    activity.wakeAll()
  }

  /// The device stays asleep: faults and migrations that wait for it end with `error`, and later
  /// ones too until a resume succeeds. nouveau lets them wait for ever.
  package func resumeFailed(_ error: KernelError) {
    resumeError = error
    activity.wakeAll()
  }
}
