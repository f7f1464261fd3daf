public import Base

/// How pages of a process are asked for (`FOLL_*`).
public struct UserPageFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// `FOLL_WRITE`: the holder writes, so a shared page is copied first.
  public static let write = UserPageFlags(rawValue: 1)
  /// `FOLL_FORCE`: as a debugger does, past the protection of a private mapping.
  public static let force = UserPageFlags(rawValue: 2)
  /// `FOLL_LONGTERM`, pins only: the page must lie where it may stay for ever.
  public static let longTerm = UserPageFlags(rawValue: 4)
  /// `FOLL_FAST_ONLY`: what can't be had without a lock is left out.
  public static let fastOnly = UserPageFlags(rawValue: 8)
  /// `FOLL_HWPOISON`: a memory error is told as such, not as `EFAULT`.
  public static let reportPoison = UserPageFlags(rawValue: 16)
}

/// Pages of a process that somebody holds: they outlive their mapping until given back.
public final class UserPages {
  /// What keeps the pages.
  public enum Hold: String, Sendable {
    /// A plain reference (`FOLL_GET`): the page's bytes may be copied elsewhere by a later write of
    /// the process.
    case reference
    /// A pin (`FOLL_PIN`): the process and the holder see one page until it is unpinned.
    case pin
  }

  public let hold: Hold
  /// The pages, in order of address; fewer than asked for where the next one couldn't be had. The
  /// zero page is never counted as held.
  public let pfns: [PFN]
  public let address: VirtualAddress
  /// Whether they were given back.
  public internal(set) var isReleased = false

  init(_ hold: Hold, _ pfns: [PFN], at address: VirtualAddress) {
    self.hold = hold
    self.pfns = pfns
    self.address = address
  }

  /// Pages held (the return value of `pin_user_pages`).
  public var count: Int { pfns.count }
}

/// Pages held by a pin.
public typealias PinnedPages = UserPages

/// Why a page of a process can't be had: the kernel's error, and what a touch would meet.
struct UserPageFailure: Error {
  let error: KernelError
  let access: AccessError

  init(_ error: KernelError, _ access: AccessError) {
    self.error = error
    self.access = access
  }

  /// The error of a fault that failed (`vm_fault_to_errno`).
  init(_ access: AccessError, _ flags: UserPageFlags) {
    self.access = access
    switch access {
    case .outOfMemory: error = .ENOMEM
    case .sigbus(_, .EHWPOISON) where flags.contains(.reportPoison): error = .EHWPOISON
    case .sigbus(_, .EOPNOTSUPP): error = .EOPNOTSUPP
    case .sigbus, .segv: error = .EFAULT
    }
  }
}
