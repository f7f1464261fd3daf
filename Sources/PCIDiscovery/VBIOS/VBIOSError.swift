/// What is wrong with a VBIOS image, and at which byte of the file.
public struct VBIOSError: Error, Hashable, Sendable, CustomStringConvertible {
  public let offset: Int
  public let message: String

  public init(at offset: Int, _ message: String) {
    self.offset = offset
    self.message = message
  }

  public var description: String { "\(HexText.prefixed(offset, digits: 5)): \(message)" }
}
