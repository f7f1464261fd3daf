/// Something the driver used that the emulated device doesn't have.
///
/// Never answered by a guess: tests and audits assert that the list of these is empty.
public struct UnimplementedAccess: Hashable, Sendable, CustomStringConvertible {
  public enum Kind: String, Sendable {
    case registerRead = "read of register"
    case registerWrite = "write of register"
    case configurationRead = "read of configuration offset"
    case configurationWrite = "write of configuration offset"
    case method = "method"
    case field = "field"
    /// What a falcon or its copy unit met; the address is the microcode's.
    case microcode = "microcode at"
  }

  public let kind: Kind
  /// Register offset, method address or table entry.
  public let address: UInt64
  public let value: UInt64
  /// What it is called, where it has a name.
  public let name: String

  public var description: String {
    let what = name.isEmpty ? "" : " (\(name))"
    return "\(kind.rawValue) 0x\(String(address, radix: 16))\(what), "
      + "value 0x\(String(value, radix: 16)), is not implemented"
  }
}
