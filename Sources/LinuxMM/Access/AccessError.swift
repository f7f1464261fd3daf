public import Base

/// How a CPU access fails: what the process would get as a signal.
public enum AccessError: Error, Hashable, Sendable, CustomStringConvertible {
  /// SIGSEGV.
  case segv(VirtualAddress, SegvCode)
  /// SIGBUS; the error says why.
  case sigbus(VirtualAddress, KernelError)
  /// No memory for the page or its tables; the process would meet the OOM killer.
  case outOfMemory(VirtualAddress)

  /// `si_code` of a SIGSEGV.
  public enum SegvCode: String, Sendable {
    /// `SEGV_MAPERR`: nothing is mapped there.
    case mapErr = "SEGV_MAPERR"
    /// `SEGV_ACCERR`: the mapping doesn't allow the access.
    case accErr = "SEGV_ACCERR"
  }

  /// The address that was touched.
  public var address: VirtualAddress {
    switch self {
    case .segv(let address, _), .sigbus(let address, _), .outOfMemory(let address): address
    }
  }

  public var description: String {
    switch self {
    case .segv(let address, let code): "SIGSEGV \(code.rawValue) at \(address)"
    case .sigbus(let address, let error): "SIGBUS (\(error)) at \(address)"
    case .outOfMemory(let address): "out of memory at \(address)"
    }
  }
}
