public import Base
import KernelRuntime

/// A fence as user space holds it (`struct sync_file`).
public final class SyncFile {
  private let contexts: FenceContexts
  /// The fence; a container after a merge.
  public let fence: Fence
  private let userName: String

  /// Wraps a fence (`sync_file_create`).
  public init(_ contexts: FenceContexts, _ fence: Fence, name: String = "") {
    self.contexts = contexts
    self.fence = fence
    userName = name
    fence.willBePublished()
  }

  /// The name that a merge gave, or one made from the fence: driver, timeline, context, number.
  public var name: String {
    userName.isEmpty
      ? "\(fence.driverName)-\(fence.timelineName)\(fence.context)-\(fence.seqno)" : userName
  }

  /// A file over the fences of both (`SYNC_IOC_MERGE`); both stay valid.
  public func merge(_ name: String, with other: SyncFile) -> SyncFile {
    // SOURCE: include/uapi/linux/sync_file.h: a name has 32 bytes, the last of them zero.
    SyncFile(
      contexts, Fence.merge([fence, other.fence], in: contexts), name: String(name.prefix(31)))
  }

  /// Sleeps until the fence is signalled (`poll`).
  public func wait(timeout: UInt64 = .max) async -> FenceWait {
    let ended = await fence.wait(timeout: timeout)
    // As poll does, look once more: a container's own signal may still be on its way.
    return ended == .timedOut && fence.isSignaled ? .signaled(remaining: 1) : ended
  }

  /// What user space reads of one fence (`struct sync_fence_info`).
  public struct FenceInfo: Hashable, Sendable {
    public let timelineName: String
    public let driverName: String
    /// 0 pending, 1 signalled, or a negative errno.
    public let status: Int32
    /// Nanoseconds; 0 while pending.
    public let timestamp: UInt64
  }

  /// What user space reads of the file (`struct sync_file_info`).
  public struct Info: Hashable, Sendable {
    public let name: String
    /// The first status that isn't "signalled", in the order of the fences.
    public let status: Int32
    public let fences: [FenceInfo]
  }

  /// Name, status and fences (`SYNC_IOC_FILE_INFO`); throws `EINVAL` when the caller has room for
  /// fewer than there are. Room 0 asks for the status alone.
  public func info(room: Int = .max) throws(KernelError) -> Info {
    if room == 0 { return Info(name: name, status: fence.status.code, fences: []) }
    let leaves = fence.leaves
    guard leaves.count <= room else { throw .EINVAL }
    var status: Int32 = 1
    var fences: [FenceInfo] = []
    for leaf in leaves {
      _ = leaf.isSignaled
      let own = leaf.status.code
      if status > 0 { status = own }
      fences.append(
        FenceInfo(
          timelineName: leaf.timelineName, driverName: leaf.driverName, status: own,
          timestamp: leaf.timestamp ?? 0))
    }
    return Info(name: name, status: status, fences: fences)
  }

  /// Fences whose status is `code`; the count that sync's own test library asks for.
  public func count(status code: Int32) -> Int {
    fence.leaves.count { leaf in
      _ = leaf.isSignaled
      return leaf.status.code == code
    }
  }
}
