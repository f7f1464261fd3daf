import ArgumentParser
import Falcon
import Foundation
import Machine

/// `nouveau firmware inspect`.
struct FirmwareInspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Says what an image holds.",
    discussion: """
      EXAMPLES
        nouveau firmware inspect Firmware/nvidia/gf100/pcopy.bin
      """)

  @Argument(help: "An image in a container.", completion: .file(extensions: ["bin"]))
  var image: String

  func run() throws {
    let bytes = try FirmwareFiles.read(image)
    let container = try FirmwareFiles.container(image)
    let limits = FalconConfiguration.pcopy
    Terminal.print(
      """
      \(image): \(bytes.count) bytes, microcode for falcons of version 3
        chip      \(FirmwareFiles.hex(container.chip, 3))
        version   \(container.version)
        code      \(container.code.count) bytes of \(limits.codeBytes), entry \
      \(FirmwareFiles.hex(container.entry, 4))
        data      \(container.data.count) bytes of \(limits.dataBytes)
        SHA-256   \(SHA256.hex(bytes))
        digest    matches

      """)
    if !PCOPYBench.room(code: container.code.count, data: container.data.count) {
      Terminal.complain("\(image): error: it does not fit a copy engine of GF100\n")
      throw ExitCode(1)
    }
  }
}

/// `nouveau firmware verify`.
struct FirmwareVerify: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Checks the images of a firmware folder against their manifest and sources.",
    discussion: """
      For each image: size, SHA-256, chip and version as the manifest says, the
      container's own digest, and that the source builds it byte for byte.

      EXAMPLES
        nouveau firmware verify
        nouveau firmware verify --firmware Firmware
      """)

  @Option(help: "The folder with manifest.json; by default the project's own.")
  var firmware: String?

  func run() throws {
    guard let folder = firmware ?? FirmwareFolder.projectFolder else {
      throw FirmwareFiles.bad(
        "error: no folder Firmware above the command or this folder; name it with --firmware")
    }
    let path = folder + "/manifest.json"
    let file = try FirmwareFiles.read(path)
    let manifest: FirmwareManifest
    do {
      manifest = try JSONDecoder().decode(FirmwareManifest.self, from: Data(file))
    } catch {
      throw FirmwareFiles.bad(
        "\(path): error: no manifest: \(Self.reason(error)); "
          + "see the project's own Firmware/manifest.json for the form")
    }
    var isGood = true
    for entry in manifest.images {
      let complaints = Self.check(entry, folder)
      isGood = isGood && complaints.isEmpty
      Terminal.print(complaints.isEmpty ? "ok    \(entry.file)\n" : "FAIL  \(entry.file)\n")
      for complaint in complaints { Terminal.print("      \(complaint)\n") }
    }
    if !isGood { throw ExitCode(1) }
  }

  private static func reason(_ error: any Error) -> String {
    switch error as? DecodingError {
    case .keyNotFound(let key, _): "'\(key.stringValue)' is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context),
      .dataCorrupted(let context):
      (context.codingPath.map(\.stringValue) + [context.debugDescription])
        .joined(separator: ": ")
    default: "it can't be read"
    }
  }

  /// The chips that images are for, by the names of their folders.
  private static let chips: [(name: String, number: UInt32)] = [("gf100", 0x0c0)]

  private static func check(_ entry: FirmwareManifest.Entry, _ folder: String) -> [String] {
    guard let data = FileManager.default.contents(atPath: folder + "/" + entry.file) else {
      return ["the file is missing"]
    }
    let file = [UInt8](data)
    var complaints: [String] = []
    if file.count != entry.size {
      complaints.append("\(file.count) bytes; the manifest says \(entry.size)")
    }
    if SHA256.hex(file) != entry.sha256 {
      complaints.append("SHA-256 \(SHA256.hex(file)); the manifest says \(entry.sha256)")
    }
    guard let chip = chips.first(where: { $0.name == entry.chip }) else {
      return complaints + ["no chip \(entry.chip) is known"]
    }
    let container: FirmwareContainer
    do throws(FirmwareError) {
      container = try FirmwareContainer(parsing: file, expectedChip: chip.number)
    } catch {
      return complaints + ["\(error)"]
    }
    if container.version != entry.version {
      complaints.append("version \(container.version); the manifest says \(entry.version)")
    }
    return complaints + rebuild(entry, container, chip.number, folder)
  }

  private static func rebuild(
    _ entry: FirmwareManifest.Entry, _ container: FirmwareContainer, _ chip: UInt32,
    _ folder: String
  ) -> [String] {
    guard let data = FileManager.default.contents(atPath: folder + "/" + entry.source),
      let text = String(data: data, encoding: .utf8)
    else {
      return ["the source \(entry.source) is missing"]
    }
    do throws(FalconAssemblyError) {
      let program = try FalconAssembler.assemble(text, file: entry.source)
      let built = FirmwareContainer(program: program, chip: chip, version: entry.version)
      return built.bytes == container.bytes ? [] : ["\(entry.source) builds another image"]
    } catch {
      return error.problems.map { "\($0)" }
    }
  }
}
