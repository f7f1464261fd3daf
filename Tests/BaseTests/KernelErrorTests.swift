import Base
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite struct KernelErrorTests {
  /// The numbers are held against the C library's, which a shared slip would not match.
  @Test func numbers_areTheHostsOwn() {
    let pairs: [(KernelError, Int32)] = [
      (.EPERM, EPERM), (.ENOENT, ENOENT), (.ESRCH, ESRCH), (.EINTR, EINTR), (.EIO, EIO),
      (.ENXIO, ENXIO), (.E2BIG, E2BIG), (.EBADF, EBADF), (.EAGAIN, EAGAIN), (.ENOMEM, ENOMEM),
      (.EACCES, EACCES), (.EFAULT, EFAULT), (.EBUSY, EBUSY), (.EEXIST, EEXIST), (.ENODEV, ENODEV),
      (.EINVAL, EINVAL), (.ENOSPC, ENOSPC), (.ERANGE, ERANGE), (.EDEADLK, EDEADLK),
      (.ENOSYS, ENOSYS), (.ENODATA, ENODATA), (.ETIME, ETIME), (.EBADMSG, EBADMSG),
      (.EOVERFLOW, EOVERFLOW), (.EOPNOTSUPP, EOPNOTSUPP), (.ETIMEDOUT, ETIMEDOUT),
      (.EALREADY, EALREADY), (.EREMOTEIO, EREMOTEIO), (.ECANCELED, ECANCELED),
      (.EHWPOISON, EHWPOISON),
    ]
    for (ours, theirs) in pairs { #expect(ours.errno == theirs, "\(ours)") }
    // Never seen by user space, so no C library has it.
    #expect(KernelError.ERESTARTSYS.errno == 512)
    #expect(KernelError.named.count == pairs.count + 1)
  }

  @Test func names_leadBackToTheirErrors() {
    for error in KernelError.named {
      #expect(KernelError(name: error.name) == error)
      #expect("\(error)" == error.name)
    }
    #expect(KernelError(name: "ENONSENSE") == nil)
    #expect(KernelError(errno: 77).name == "errno 77")
  }
}
