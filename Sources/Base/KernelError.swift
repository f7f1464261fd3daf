/// An errno value under the kernel's own names.
///
/// One error type serves every kernel-facing function, so that typed throws compose
/// (`throws(KernelError)`). The number is positive, as in `errno(3)`; the kernel returns it
/// negated.
@frozen
public struct KernelError: Error, Hashable, Sendable {
  /// The positive errno number, as Linux numbers it on x86-64.
  public let errno: Int32

  @inlinable
  public init(errno: Int32) {
    self.errno = errno
  }
}

// SOURCE: include/uapi/asm-generic/errno-base.h, errno.h; include/linux/errno.h for ERESTARTSYS.
extension KernelError {
  /// Operation not permitted.
  public static let EPERM = KernelError(errno: 1)
  /// No such entry.
  public static let ENOENT = KernelError(errno: 2)
  /// No such process.
  public static let ESRCH = KernelError(errno: 3)
  /// Interrupted by a signal.
  public static let EINTR = KernelError(errno: 4)
  /// Input or output error; what a CPU access that gets SIGBUS reports.
  public static let EIO = KernelError(errno: 5)
  /// No such device or address.
  public static let ENXIO = KernelError(errno: 6)
  /// Argument list too long.
  public static let E2BIG = KernelError(errno: 7)
  /// Bad handle.
  public static let EBADF = KernelError(errno: 9)
  /// Try again.
  public static let EAGAIN = KernelError(errno: 11)
  /// Out of memory.
  public static let ENOMEM = KernelError(errno: 12)
  /// Permission denied.
  public static let EACCES = KernelError(errno: 13)
  /// Bad address.
  public static let EFAULT = KernelError(errno: 14)
  /// Device or resource busy.
  public static let EBUSY = KernelError(errno: 16)
  /// Already exists.
  public static let EEXIST = KernelError(errno: 17)
  /// No such device; also what an emit on a killed channel returns.
  public static let ENODEV = KernelError(errno: 19)
  /// Invalid argument.
  public static let EINVAL = KernelError(errno: 22)
  /// No space left.
  public static let ENOSPC = KernelError(errno: 28)
  /// Result out of range.
  public static let ERANGE = KernelError(errno: 34)
  /// A wait would close a cycle.
  public static let EDEADLK = KernelError(errno: 35)
  /// Not implemented by this device or kernel.
  public static let ENOSYS = KernelError(errno: 38)
  /// No data available.
  public static let ENODATA = KernelError(errno: 61)
  /// Timer expired.
  public static let ETIME = KernelError(errno: 62)
  /// Bad message: a malformed image or header.
  public static let EBADMSG = KernelError(errno: 74)
  /// Value too large.
  public static let EOVERFLOW = KernelError(errno: 75)
  /// Operation not supported.
  public static let EOPNOTSUPP = KernelError(errno: 95)
  /// Timed out.
  public static let ETIMEDOUT = KernelError(errno: 110)
  /// Already done.
  public static let EALREADY = KernelError(errno: 114)
  /// A peer on the bus can't be reached.
  public static let EREMOTEIO = KernelError(errno: 121)
  /// Cancelled before it ran.
  public static let ECANCELED = KernelError(errno: 125)
  /// The page holds a hardware memory error.
  public static let EHWPOISON = KernelError(errno: 133)
  /// Restart the call after a signal.
  public static let ERESTARTSYS = KernelError(errno: 512)

  private static let names: [(error: KernelError, name: String)] = [
    (.EPERM, "EPERM"), (.ENOENT, "ENOENT"), (.ESRCH, "ESRCH"), (.EINTR, "EINTR"), (.EIO, "EIO"),
    (.ENXIO, "ENXIO"), (.E2BIG, "E2BIG"), (.EBADF, "EBADF"), (.EAGAIN, "EAGAIN"),
    (.ENOMEM, "ENOMEM"), (.EACCES, "EACCES"), (.EFAULT, "EFAULT"), (.EBUSY, "EBUSY"),
    (.EEXIST, "EEXIST"), (.ENODEV, "ENODEV"), (.EINVAL, "EINVAL"), (.ENOSPC, "ENOSPC"),
    (.ERANGE, "ERANGE"), (.EDEADLK, "EDEADLK"), (.ENOSYS, "ENOSYS"), (.ENODATA, "ENODATA"),
    (.ETIME, "ETIME"), (.EBADMSG, "EBADMSG"), (.EOVERFLOW, "EOVERFLOW"),
    (.EOPNOTSUPP, "EOPNOTSUPP"), (.ETIMEDOUT, "ETIMEDOUT"), (.EALREADY, "EALREADY"),
    (.EREMOTEIO, "EREMOTEIO"), (.ECANCELED, "ECANCELED"), (.EHWPOISON, "EHWPOISON"),
    (.ERESTARTSYS, "ERESTARTSYS"),
  ]

  /// Every error that has a name here, in the order of its number.
  public static var named: [KernelError] { names.map(\.error) }

  /// The kernel's name, or `errno N` for a number without one here.
  public var name: String {
    Self.names.first { $0.error == self }?.name ?? "errno \(errno)"
  }

  /// The error with this kernel name (`"ENOMEM"`), or nil.
  public init?(name: String) {
    guard let found = Self.names.first(where: { $0.name == name }) else { return nil }
    self = found.error
  }
}

extension KernelError: CustomStringConvertible {
  public var description: String { name }
}
