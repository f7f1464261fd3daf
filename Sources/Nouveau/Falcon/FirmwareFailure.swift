package import Base
package import Falcon

/// Why an engine has no microcode that runs.
package enum FirmwareFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// None of these images exists.
  case missing([String])
  /// The request itself failed, as an armed failure asks.
  case request(String, KernelError)
  /// The image is not what it should be: truncated, wrong magic, wrong chip, bad digest, …
  case image(String, FirmwareError)
  /// Code or data exceed the engine's memories.
  case tooLarge(String, bytes: Int, limit: Int)
  /// The microcode was started and has not come to its resting place in time.
  case startTimedOut(String)
  /// The microcode stopped where it should have come to rest; the program counter.
  case stopped(String, pc: UInt32)

  package var kernelError: KernelError {
    switch self {
    case .missing: .ENOENT
    case .request(_, let error): error
    case .image(_, let error): error.kernelError
    case .tooLarge: .E2BIG
    case .startTimedOut: .ETIMEDOUT
    case .stopped: .EIO
    }
  }

  package var description: String {
    switch self {
    case .missing(let paths): "no microcode: none of \(paths.joined(separator: ", "))"
    case .request(let path, let error): "\(path): the request failed: \(error)"
    case .image(let path, let error): "\(path): \(error)"
    case .tooLarge(let path, let bytes, let limit):
      "\(path): \(bytes) bytes, and the engine has room for \(limit)"
    case .startTimedOut(let path): "\(path): the microcode did not come to rest in time"
    case .stopped(let path, let pc): "\(path): the microcode stopped at \(hex(pc))"
    }
  }
}
