/// Reads devices from any text that `--from` takes, by what the text looks like.
public enum DeviceText {
  /// The kinds of text.
  public enum Kind: String, Sendable, CaseIterable {
    /// What `--record` writes.
    case recording = "a recording"
    /// What `lspci -xxxx` prints, with or without `-v`, `-nn`, `-D`.
    case hexDump = "lspci -xxxx text"
    /// What `lspci -vmmnnD` prints.
    case recordList = "lspci -vmmnnD text"
  }

  /// What was read.
  public struct Content: Sendable {
    public let kind: Kind
    /// The recording's note; nil for lspci's texts.
    public let note: String?
    /// In the order of their addresses.
    public let devices: [PCIDeviceRecord]
  }

  /// Reads `bytes`; `file` is the name for errors.
  public static func parse(_ bytes: [UInt8], file: String) throws(DiscoveryError) -> Content {
    switch try kind(of: bytes, file: file) {
    case .recording:
      let recording = try PCIRecording.parse(bytes, file: file)
      return Content(
        kind: .recording, note: recording.note,
        devices: try sorted(recording.devices, file: file))
    case .hexDump:
      let devices = try LspciHexDump.parse(bytes, file: file)
      return Content(kind: .hexDump, note: nil, devices: try sorted(devices, file: file))
    case .recordList:
      let devices = try LspciRecordList.parse(bytes, file: file)
      return Content(kind: .recordList, note: nil, devices: try sorted(devices, file: file))
    }
  }

  private static func kind(of bytes: [UInt8], file: String) throws(DiscoveryError) -> Kind {
    let blanks: [UInt8] = [0x20, 0x09, 0x0d, 0x0a]
    guard let start = bytes.firstIndex(where: { !blanks.contains($0) }) else {
      throw DiscoveryError(
        place: TextPlace(file: file, line: 1, column: 1), "the file is empty",
        remedy: "pass a recording, or what lspci -xxxx or lspci -vmmnnD prints")
    }
    if bytes[start] == UInt8(ascii: "{") { return .recording }
    let line = bytes[start...].prefix { $0 != 0x0a }
    return LspciRecordList.field(Substring(decoding: line, as: UTF8.self)) == nil
      ? .hexDump : .recordList
  }

  private static func sorted(
    _ devices: [PCIDeviceRecord], file: String
  ) throws(DiscoveryError) -> [PCIDeviceRecord] {
    let result = devices.sorted { $0.address < $1.address }
    for (a, b) in zip(result, result.dropFirst()) where a.address == b.address {
      throw DiscoveryError(
        place: TextPlace(file: file, line: 1, column: 1), "\(a.address) stands twice",
        remedy: "keep one of the two, or pass the dumps of two machines in two files")
    }
    return result
  }
}
