public import Base

/// One process's open files that have to do with fences: descriptor numbers to objects.
///
/// Numbers are the lowest free ones from 3 on. A table can be shared or copied, as fork does.
public final class SyncDescriptors {
  /// What a descriptor leads to.
  public enum File {
    case syncFile(SyncFile)
    case timeline(SoftwareTimeline)
    case eventCounter(EventCounter)
    case syncObject(SyncObject)
    /// Some other file, such as one on disk.
    case other(String)
  }

  private var files: [File?] = []
  private let first = 3

  public init() {}

  /// A copy that leads to the same objects (`fork`).
  public func fork() -> SyncDescriptors {
    let child = SyncDescriptors()
    child.files = files
    return child
  }

  /// Opens an object under the lowest free number.
  public func open(_ file: File) -> Int {
    let index = files.firstIndex { $0 == nil } ?? files.count
    if index == files.count { files.append(file) } else { files[index] = file }
    return index + first
  }

  /// Closes a number; `EBADF` when it isn't open. Objects that others hold live on.
  public func close(_ descriptor: Int) throws(KernelError) {
    _ = try file(descriptor)
    files[descriptor - first] = nil
  }

  public func file(_ descriptor: Int) throws(KernelError) -> File {
    let index = descriptor - first
    guard files.indices.contains(index), let file = files[index] else { throw .EBADF }
    return file
  }

  /// The sync file (`sync_file_fdget`); `ENOENT` for anything else.
  public func syncFile(_ descriptor: Int) throws(KernelError) -> SyncFile {
    guard let file = try? file(descriptor), case .syncFile(let found) = file else { throw .ENOENT }
    return found
  }

  /// The timeline; `EBADF` for no open number, `EINVAL` for another kind of file.
  public func timeline(_ descriptor: Int) throws(KernelError) -> SoftwareTimeline {
    guard case .timeline(let found) = try file(descriptor) else { throw .EINVAL }
    return found
  }

  /// The event counter; `EBADF` for no open number, `EINVAL` for another kind of file.
  public func eventCounter(_ descriptor: Int) throws(KernelError) -> EventCounter {
    guard case .eventCounter(let found) = try file(descriptor) else { throw .EINVAL }
    return found
  }

  /// The sync object that was exported; `EBADF` and `EINVAL` as above.
  public func syncObject(_ descriptor: Int) throws(KernelError) -> SyncObject {
    guard case .syncObject(let found) = try file(descriptor) else { throw .EINVAL }
    return found
  }

  /// `SYNC_IOC_MERGE` on descriptors; `EINVAL` for flags or padding, `ENOENT` for no sync file.
  public func merge(
    _ one: Int, _ other: Int, name: String, flags: UInt32 = 0, pad: UInt32 = 0
  ) throws(KernelError) -> Int {
    let file = try syncFile(one)
    guard flags == 0 && pad == 0 else { throw .EINVAL }
    return open(.syncFile(file.merge(name, with: try syncFile(other))))
  }
}
