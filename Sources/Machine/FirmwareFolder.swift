public import DeviceSeam
import Foundation

/// A folder with firmware images, where `request_firmware` looks; several are searched in order.
///
/// Kernel: fw_path (drivers/base/firmware_loader/main.c): /lib/firmware/updates before
/// /lib/firmware
public final class FirmwareFolder: FirmwareStore {
  /// Searched in this order.
  public let folders: [String]

  public init(_ folders: [String]) { self.folders = folders }

  /// The image in the first folder that has it. Paths that lead out of a folder find nothing.
  public func image(at path: String) -> [UInt8]? {
    guard !path.hasPrefix("/"), !path.split(separator: "/").contains("..") else { return nil }
    for folder in folders {
      let file = URL(fileURLWithPath: folder).appending(path: path)
      if let data = try? Data(contentsOf: file) { return [UInt8](data) }
    }
    return nil
  }

  /// The project's own images: the folder `Firmware` with a manifest, above the running program or
  /// the current folder. Empty when there is none; a driver then says which images it misses.
  public static func ofProject() -> FirmwareFolder {
    FirmwareFolder(projectFolder.map { [$0] } ?? [])
  }

  /// Looked for once: many machines boot in one program.
  public static let projectFolder: String? = {
    let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    let here = URL(fileURLWithPath: FileManager.default.currentDirectoryPath)
    return firmware(above: program.deletingLastPathComponent()) ?? firmware(above: here)
  }()

  private static func firmware(above start: URL) -> String? {
    var folder = start.standardizedFileURL
    while true {
      let candidate = folder.appending(path: "Firmware")
      let manifest = candidate.appending(path: "manifest.json").path
      if FileManager.default.fileExists(atPath: manifest) { return candidate.path }
      let above = folder.deletingLastPathComponent().standardizedFileURL
      if above.path == folder.path { return nil }
      folder = above
    }
  }
}
