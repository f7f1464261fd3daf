import Base
import KernelRuntime

// A chunk's memory as other GPUs reach it: whole, in BAR1, from its first use by one of them to its
// end or the next suspend.
extension Dmem {
  /// Takes part with other GPUs of the machine.
  func join(_ group: PeerGroup, _ window: BAR1) {
    peerGroup = group
    bar1 = window
    group.join(self)
  }

  /// Nobody asks for pages any more, and none is asked.
  func leavePeers() {
    peerGroup?.leave(self)
    peerGroup = nil
  }

  /// Where in BAR1 the chunk lies. Passes `nouveau.peer_window` when it has to be put there.
  ///
  /// `ENOSPC` without room in BAR1, `ENOMEM` without memory for its page tables.
  ///
  /// LOCKING: takes the vmm mutex of BAR1; a page of the chunk is in use, and an operation is
  /// begun, so that the chunk stays where it is. Kernel: nouveau_bo_map, which does so for the CPU
  func openWindow(_ chunk: DmemChunk) async throws(KernelError) -> GPUVirtualAddress {
    if let window = chunk.window { return window }
    guard let bar1 else { throw .ENODEV }
    try kernel.failures.check(.peerWindow)
    let made = try await bar1.map(chunk.buffer.offset, bytes: chunk.buffer.size)
    if let others = chunk.window {
      await bar1.unmap(made, bytes: chunk.buffer.size)
      return others
    }
    chunk.window = made
    return made
  }

  /// Takes the chunk out of BAR1; no copy of another GPU is under way there.
  func closeWindow(_ chunk: DmemChunk) async {
    guard let window = chunk.window, let bar1 else { return }
    chunk.window = nil
    await bar1.unmap(window, bytes: chunk.buffer.size)
  }

  /// Begins an operation unless it would have to wait: nobody waits for one device while he keeps
  /// another from its suspend.
  func beginOperationNow() -> Bool {
    guard isActive, !isClosed, !device.isLost else { return false }
    operations += 1
    return true
  }
}
