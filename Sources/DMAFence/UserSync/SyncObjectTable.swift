public import Base

/// One client's sync objects by handle, with the calls of the DRM interface and their argument
/// checks (`drm_syncobj_*_ioctl`).
public final class SyncObjectTable {
  private let contexts: FenceContexts
  private let descriptors: SyncDescriptors
  /// Slot 0 is handle 1.
  private var objects: [SyncObject?] = []

  // SOURCE: include/uapi/drm/drm.h.
  /// `DRM_SYNCOBJ_CREATE_SIGNALED`.
  public static let createSignaled: UInt32 = 1
  /// `DRM_SYNCOBJ_*_FLAGS_*_SYNC_FILE`.
  public static let asSyncFile: UInt32 = 1
  /// `DRM_SYNCOBJ_QUERY_FLAGS_LAST_SUBMITTED`.
  public static let lastSubmitted: UInt32 = 1

  public init(_ contexts: FenceContexts, _ descriptors: SyncDescriptors) {
    self.contexts = contexts
    self.descriptors = descriptors
  }

  /// The object of a handle; `ENOENT` for none.
  public func object(_ handle: UInt32) throws(KernelError) -> SyncObject {
    let index = Int(handle) - 1
    guard objects.indices.contains(index), let object = objects[index] else { throw .ENOENT }
    return object
  }

  private func lookUp(_ handles: [UInt32]) throws(KernelError) -> [SyncObject] {
    var found: [SyncObject] = []
    for handle in handles { found.append(try object(handle)) }
    return found
  }

  private func insert(_ object: SyncObject) -> UInt32 {
    let index = objects.firstIndex { $0 == nil } ?? objects.count
    if index == objects.count { objects.append(object) } else { objects[index] = object }
    return UInt32(index + 1)
  }

  /// `DRM_IOCTL_SYNCOBJ_CREATE`; `EINVAL` for unknown flags.
  public func create(flags: UInt32 = 0) throws(KernelError) -> UInt32 {
    guard flags & ~Self.createSignaled == 0 else { throw .EINVAL }
    return insert(SyncObject(contexts, isSignaled: flags & Self.createSignaled != 0))
  }

  /// `DRM_IOCTL_SYNCOBJ_DESTROY`; `EINVAL` for padding or no such handle.
  public func destroy(_ handle: UInt32, pad: UInt32 = 0) throws(KernelError) {
    guard pad == 0, (try? object(handle)) != nil else { throw .EINVAL }
    objects[Int(handle) - 1] = nil
  }

  /// `DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD`: the object itself, or its fence now as a sync file.
  public func descriptor(
    of handle: UInt32, flags: UInt32 = 0, pad: UInt32 = 0
  ) throws(KernelError) -> Int {
    guard pad == 0, flags & ~Self.asSyncFile == 0 else { throw .EINVAL }
    if flags & Self.asSyncFile != 0 {
      let fence = try object(handle).fence(at: 0)
      return descriptors.open(.syncFile(SyncFile(contexts, fence)))
    }
    guard let object = try? object(handle) else { throw .EINVAL }
    return descriptors.open(.syncObject(object))
  }

  /// `DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE`: a handle for an exported object; with the flag, a sync
  /// file's fence is put into `handle`.
  public func handle(
    of descriptor: Int, into handle: UInt32 = 0, flags: UInt32 = 0, pad: UInt32 = 0
  ) throws(KernelError) -> UInt32 {
    guard pad == 0, flags & ~Self.asSyncFile == 0 else { throw .EINVAL }
    if flags & Self.asSyncFile != 0 {
      guard let file = try? descriptors.syncFile(descriptor) else { throw .EINVAL }
      try object(handle).replace(with: file.fence)
      return handle
    }
    guard let object = try? descriptors.syncObject(descriptor) else { throw .EINVAL }
    return insert(object)
  }

  /// `DRM_IOCTL_SYNCOBJ_WAIT` and `_TIMELINE_WAIT`: `points` nil is binary use, where waiting for
  /// availability is no flag. No handles are no error. Answers the first signalled index.
  public func wait(
    _ handles: [UInt32], points: [UInt64]? = nil, flags: UInt32 = 0, timeout: UInt64,
    deadline: UInt64? = nil
  ) async throws(KernelError) -> Int {
    let asked = SyncWaitFlags(rawValue: flags)
    let known = points == nil ? SyncWaitFlags.known.subtracting(.available) : .known
    guard asked.isSubset(of: known) else { throw .EINVAL }
    let found = try lookUp(handles)
    guard !found.isEmpty else { return 0 }
    let numbers = points ?? Array(repeating: 0, count: found.count)
    guard numbers.count == found.count else { throw .EFAULT }
    let targets = zip(found, numbers).map { (object: $0, point: $1) }
    return try await SyncObject.wait(
      targets, asked, timeout: timeout, deadline: asked.contains(.deadline) ? deadline : nil
    ).firstSignaled
  }

  /// `DRM_IOCTL_SYNCOBJ_RESET`.
  public func reset(_ handles: [UInt32], pad: UInt32 = 0) throws(KernelError) {
    guard pad == 0, !handles.isEmpty else { throw .EINVAL }
    for object in try lookUp(handles) { object.replace(with: nil) }
  }

  /// `DRM_IOCTL_SYNCOBJ_SIGNAL`.
  public func signal(_ handles: [UInt32], pad: UInt32 = 0) throws(KernelError) {
    guard pad == 0, !handles.isEmpty else { throw .EINVAL }
    for object in try lookUp(handles) { object.signal() }
  }

  /// `DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL`.
  public func signal(
    _ handles: [UInt32], points: [UInt64], flags: UInt32 = 0
  ) throws(KernelError) {
    guard flags == 0, !handles.isEmpty else { throw .EINVAL }
    let found = try lookUp(handles)
    guard points.count == found.count else { throw .EFAULT }
    for (object, point) in zip(found, points) { object.signal(point: point) }
  }

  /// `DRM_IOCTL_SYNCOBJ_QUERY`.
  public func query(_ handles: [UInt32], flags: UInt32 = 0) throws(KernelError) -> [UInt64] {
    guard flags & ~Self.lastSubmitted == 0, !handles.isEmpty else { throw .EINVAL }
    return try lookUp(handles).map { $0.query(lastSubmitted: flags != 0) }
  }

  /// `DRM_IOCTL_SYNCOBJ_TRANSFER`; `flags` may ask to wait for the source's point.
  public func transfer(
    from source: UInt32, at sourcePoint: UInt64, to target: UInt32, at point: UInt64,
    flags: UInt32 = 0, pad: UInt32 = 0
  ) async throws(KernelError) {
    guard pad == 0 else { throw .EINVAL }
    let target = try object(target)
    let source = try object(source)
    let asked = SyncWaitFlags(rawValue: flags)
    guard asked.isSubset(of: .forSubmit) else { throw .EINVAL }
    try await target.transfer(
      from: source, at: sourcePoint, to: point, waitsForSubmit: asked == .forSubmit)
  }

  /// `DRM_IOCTL_SYNCOBJ_EVENTFD`; `flags` may ask for availability.
  public func notify(
    _ handle: UInt32, at point: UInt64, _ descriptor: Int, flags: UInt32 = 0, pad: UInt32 = 0
  ) throws(KernelError) {
    guard SyncWaitFlags(rawValue: flags).isSubset(of: .available), pad == 0 else { throw .EINVAL }
    let object = try object(handle)
    let counter = try descriptors.eventCounter(descriptor)
    object.notify(counter, at: point, whenAvailable: flags != 0)
  }
}
