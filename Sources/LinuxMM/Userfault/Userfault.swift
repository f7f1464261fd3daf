public import Base
import KernelRuntime

/// A descriptor by which a handler serves faults of a process (`userfaultfd`).
///
/// The process's task sleeps at a fault in a registered range; the handler, another task, reads a
/// message with ``read()``, fills or unprotects the page, and the fault is tried again.
///
/// What a fault of a device (`hmm_range_fault`) or a migration meets in a registered range is not
/// handed out: the former fails with `EFAULT`, the latter leaves empty places alone (R29).
public final class Userfault {
  /// What the handler asked for (`UFFD_FEATURE_*`).
  public struct Features: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    // SOURCE: include/uapi/linux/userfaultfd.h of 6.12.
    /// `UFFD_FEATURE_PAGEFAULT_FLAG_WP`.
    public static let writeProtect = Features(rawValue: 1 << 0)
    /// `UFFD_FEATURE_EVENT_FORK`: the child is watched too, by a descriptor of its own.
    public static let eventFork = Features(rawValue: 1 << 1)
    /// `UFFD_FEATURE_EVENT_REMAP`.
    public static let eventRemap = Features(rawValue: 1 << 2)
    /// `UFFD_FEATURE_EVENT_REMOVE`.
    public static let eventRemove = Features(rawValue: 1 << 3)
    /// `UFFD_FEATURE_EVENT_UNMAP`.
    public static let eventUnmap = Features(rawValue: 1 << 6)
    /// `UFFD_FEATURE_SIGBUS`: a fault gets SIGBUS instead of a handler.
    public static let sigbus = Features(rawValue: 1 << 7)
    /// `UFFD_FEATURE_MINOR_SHMEM`.
    public static let minorSharedMemory = Features(rawValue: 1 << 10)
    /// `UFFD_FEATURE_EXACT_ADDRESS`: messages name the byte, not the page.
    public static let exactAddress = Features(rawValue: 1 << 11)
    /// `UFFD_FEATURE_WP_UNPOPULATED`: empty places can be protected.
    public static let writeProtectUnpopulated = Features(rawValue: 1 << 13)
    /// `UFFD_FEATURE_POISON`.
    public static let poison = Features(rawValue: 1 << 14)
    /// `UFFD_FEATURE_MOVE`.
    public static let move = Features(rawValue: 1 << 16)

    /// All that this model has.
    public static let all: Features = [
      .writeProtect, .eventFork, .eventRemap, .eventRemove, .eventUnmap, .sigbus,
      .minorSharedMemory, .exactAddress, .writeProtectUnpopulated, .poison, .move,
    ]
  }

  /// What a range is registered for (`UFFDIO_REGISTER_MODE_*`).
  public struct Mode: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Touches of empty places.
    public static let missing = Mode(rawValue: 1)
    /// Writes to protected pages.
    public static let writeProtect = Mode(rawValue: 2)
    /// Touches of pages of shared memory that this process hasn't mapped.
    public static let minor = Mode(rawValue: 4)
  }

  /// What happened (`struct uffd_msg`).
  public enum Message {
    /// `UFFD_EVENT_PAGEFAULT`; `kind` is what the handler has to do.
    case pageFault(VirtualAddress, kind: Mode, write: Bool)
    /// `UFFD_EVENT_FORK`: the child's descriptor.
    case fork(Userfault)
    /// `UFFD_EVENT_REMAP`.
    case remap(from: VirtualRange, to: VirtualAddress)
    /// `UFFD_EVENT_REMOVE`: the range is about to lose its pages.
    case remove(VirtualRange)
    /// `UFFD_EVENT_UNMAP`: the range is unmapped.
    case unmap(VirtualRange)
  }

  /// A task's sleep at a fault, or for the handler to read an event.
  final class Stop {
    let message: Message
    /// The page of a fault; nil for an event.
    let page: VirtualAddress?
    var isRead = false
    var isOver = false

    init(_ message: Message, page: VirtualAddress?) {
      self.message = message
      self.page = page
    }
  }

  public let features: Features
  /// The process whose ranges it watches.
  public let space: AddressSpace
  private(set) var stops: [Stop] = []
  /// Events that wait to be read: meanwhile nothing can be filled (`mmap_changing`).
  private(set) var changing = 0
  /// Whether ``close()`` was called.
  public private(set) var isClosed = false
  private let readers: WaitQueue
  private let sleepers: WaitQueue

  init(_ space: AddressSpace, _ features: Features) {
    self.space = space
    self.features = features
    readers = WaitQueue(space.kernel, "userfaultfd messages of \(space.name)")
    sleepers = WaitQueue(space.kernel, "userfaultfd handler of \(space.name)")
  }

  /// The next message, in order; sleeps until there is one. Nil once closed (`read`).
  public func read() async -> Message? {
    await readers.wait { isClosed || stops.contains { !$0.isRead } }
    return take()
  }

  /// The next message; nil when there is none (`O_NONBLOCK`).
  public func poll() -> Message? { take() }

  private func take() -> Message? {
    guard !isClosed, let stop = stops.first(where: { !$0.isRead }) else { return nil }
    stop.isRead = true
    if stop.page == nil {
      // An event is over when it has been read.
      finish([stop])
    }
    return stop.message
  }

  /// Sleeps until the handler has served a fault, or read an event.
  func sleep(_ stop: Stop) async {
    guard !isClosed else { return }
    stops.append(stop)
    let isEvent = stop.page == nil
    if isEvent { changing += 1 }
    readers.wakeAll()
    await sleepers.wait { stop.isOver }
    if isEvent { changing -= 1 }
  }

  /// Tells the handler what is about to happen, and sleeps until it has read that
  /// (`userfaultfd_event_wait_completion`).
  func post(_ message: Message) async { await sleep(Stop(message, page: nil)) }

  /// Lets the faults in `range` be tried again (`UFFDIO_WAKE`).
  ///
  /// `EINVAL` for an empty range or ends that aren't page aligned.
  public func wake(_ range: VirtualRange) throws(KernelError) {
    guard !range.isEmpty, range.isPageAligned else { throw .EINVAL }
    wakeFaults(range)
  }

  func wakeFaults(_ range: VirtualRange) {
    finish(stops.filter { $0.page.map(range.contains) ?? false })
  }

  private func finish(_ over: [Stop]) {
    guard !over.isEmpty else { return }
    for stop in over { stop.isOver = true }
    stops.removeAll { $0.isOver }
    sleepers.wakeAll()
  }

  /// Ends all watching; who sleeps goes on (`close`).
  public func close() async {
    guard !isClosed else { return }
    isClosed = true
    await space.forgetUserfault(self)
    finish(stops)
    readers.wakeAll()
  }
}

extension AddressSpace {
  /// Opens a descriptor for this process (`userfaultfd`, `UFFDIO_API`).
  ///
  /// `EINVAL` for features that the model hasn't, `ESRCH` once the process has exited.
  public func openUserfault(_ features: Userfault.Features = []) throws(KernelError) -> Userfault {
    guard features.isSubset(of: .all) else { throw .EINVAL }
    guard !isExiting else { throw .ESRCH }
    return Userfault(self, features)
  }
}
