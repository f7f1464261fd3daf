public import Base
import KernelRuntime

/// How user space is going to use a buffer (`DMA_BUF_SYNC_*`).
public struct BufferAccess: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  public static let read = BufferAccess(rawValue: 1 << 0)
  public static let write = BufferAccess(rawValue: 2 << 0)
  public static let readWrite: BufferAccess = [.read, .write]
}

// A shared buffer's fences as sync files: implicit order made explicit, and back.
extension Reservation {
  /// What work with this access must wait for, as a sync file (`DMA_BUF_IOCTL_EXPORT_SYNC_FILE`); a
  /// signalled one when nothing is pending. Throws `EINVAL` for no access or unknown flags.
  public func exportSyncFile(_ access: BufferAccess) throws(KernelError) -> SyncFile {
    guard !access.isEmpty, access.isSubset(of: .readWrite) else { throw .EINVAL }
    let usage = ReservationUsage.toWaitFor(isWrite: access.contains(.write))
    return SyncFile(contexts, singleton(usage) ?? contexts.stub)
  }

  /// Attaches a sync file's fences as work of this access (`DMA_BUF_IOCTL_IMPORT_SYNC_FILE`).
  /// Throws `EINVAL` for no access or unknown flags, `ENOMEM` when no slot can be had.
  public func importSyncFile(
    _ file: SyncFile, _ access: BufferAccess
  ) async throws(KernelError) {
    guard !access.isEmpty, access.isSubset(of: .readWrite) else { throw .EINVAL }
    let leaves = file.fence.leaves
    let usage: ReservationUsage = access.contains(.write) ? .write : .read
    try await lock.withLock { () throws(KernelError) in
      if !leaves.isEmpty { try reserve(leaves.count) }
      for leaf in leaves { add(leaf, usage) }
    }
  }
}
