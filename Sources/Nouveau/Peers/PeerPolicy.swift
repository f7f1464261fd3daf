public import Base

/// What a migration to a GPU does with pages that lie on another GPU of the machine.
public enum PeerPolicy: String, Sendable, CaseIterable {
  /// They stay: the core shows a driver no pages of another owner. As nouveau does.
  case stay
  /// They come back to RAM by their own driver, and go on from there.
  case host
  /// A copy engine moves them over the bus; where that can't be, as `host`.
  case direct
}

/// Whose copy engine moves pages between two GPUs.
public enum PeerEngine: String, Sendable, CaseIterable {
  /// The one that has them: it writes into the other's BAR1. Writes are posted, reads wait for
  /// their answer, so this is the quicker of the two.
  case source
  /// The one that gets them: it reads from the other's BAR1.
  case destination
}

/// Why pages were not copied from one GPU to the other directly; they went through RAM then.
public enum PeerFallback: Error, Hashable, Sendable, CustomStringConvertible {
  /// The bus has no path from the one to the other, or a board shows no window.
  case notReachable
  /// One of the two sleeps or is about to go.
  case notRunning
  /// The pages could not be put into BAR1.
  case noWindow(KernelError)
  /// The other's BAR1 could not be mapped for the copy engine.
  case notMapped(KernelError)
  /// The copy didn't complete; the pages kept their place.
  case copyFailed(KernelError)

  /// As reports and traces write it.
  public var name: String {
    switch self {
    case .notReachable: "not-reachable"
    case .notRunning: "not-running"
    case .noWindow: "no-window"
    case .notMapped: "not-mapped"
    case .copyFailed: "copy-failed"
    }
  }

  public var error: KernelError {
    switch self {
    case .notReachable: .EREMOTEIO
    case .notRunning: .ENODEV
    case .noWindow(let error), .notMapped(let error), .copyFailed(let error): error
    }
  }

  public var description: String {
    switch self {
    case .notReachable: "the bus has no path between the two GPUs"
    case .notRunning: "one of the two GPUs sleeps or goes"
    case .noWindow(let error): "the pages could not be put into BAR1: \(error)"
    case .notMapped(let error): "the other GPU's BAR1 could not be mapped: \(error)"
    case .copyFailed(let error): "the copy did not complete: \(error)"
    }
  }
}

/// Pages that a migration took from other GPUs.
public struct FetchedPages: Hashable, Sendable {
  /// Copied from VRAM to VRAM.
  public var direct = 0
  /// Brought back to RAM first.
  public var throughHost = 0
  /// Why pages went through RAM that were to be copied directly; the first reason.
  public var fallback: PeerFallback?
  /// Why pages stayed on the other GPU; the first error.
  public var error: KernelError?

  public init() {}
}
