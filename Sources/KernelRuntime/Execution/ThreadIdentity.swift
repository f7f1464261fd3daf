#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A host thread, to tell whether code runs on the one that drives a machine.
struct ThreadIdentity {
  private let thread: pthread_t

  static var current: ThreadIdentity { ThreadIdentity(thread: pthread_self()) }

  var isCurrent: Bool { pthread_equal(thread, pthread_self()) != 0 }
}
