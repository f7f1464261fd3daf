/// The list of images that stands beside them.
public struct FirmwareManifest: Hashable, Sendable, Codable {
  public struct Entry: Hashable, Sendable, Codable {
    /// The path below the firmware folder, as a driver asks for it.
    public let file: String
    /// The assembly source, relative to the same folder.
    public let source: String
    /// The chip's name in lower case.
    public let chip: String
    public let version: UInt32
    /// The file's bytes.
    public let size: Int
    /// The whole file's digest.
    public let sha256: String

    public init(
      file: String, source: String, chip: String, container: FirmwareContainer
    ) {
      let bytes = container.bytes
      self.file = file
      self.source = source
      self.chip = chip
      version = container.version
      size = bytes.count
      sha256 = SHA256.hex(bytes)
    }
  }

  public let images: [Entry]

  public init(images: [Entry]) { self.images = images }

  /// The manifest's file: JSON with a fixed order of members, so that it can be compared.
  public var json: String {
    let entries = images.map { image in
      """
          {
            "file": "\(image.file)",
            "source": "\(image.source)",
            "chip": "\(image.chip)",
            "version": \(image.version),
            "size": \(image.size),
            "sha256": "\(image.sha256)"
          }
      """
    }
    return "{\n  \"images\": [\n" + entries.joined(separator: ",\n") + "\n  ]\n}\n"
  }
}
