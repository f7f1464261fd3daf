import ArgumentParser
import Falcon
import Foundation

/// `nouveau firmware`: microcode of copy engines.
struct FirmwareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "firmware",
    abstract: "Assembles, reads, checks and runs microcode of Fermi's copy engines.",
    discussion: """
      Exit status of every part: 0 when all is well; 1 when something does not hold
      (an image that is not what the manifest says, a method that the microcode
      refuses); 2 when an input is bad: each error with its place and what to do.
      docs/firmware.md describes the files.

      EXAMPLES
        nouveau firmware assemble Firmware/pcopy.s
        nouveau firmware inspect Firmware/nvidia/gf100/pcopy.bin
        nouveau firmware verify
        nouveau firmware run --image Firmware/nvidia/gf100/pcopy.bin methods.txt
      """,
    subcommands: [
      FirmwareAssemble.self, FirmwareDisassemble.self, FirmwareInspect.self, FirmwareVerify.self,
      FirmwareRun.self,
    ])
}

/// Files of the firmware commands.
enum FirmwareFiles {
  /// A file's bytes; ends the command when there are none.
  static func read(_ path: String) throws -> [UInt8] {
    guard !URL(fileURLWithPath: path).hasDirectoryPath,
      let file = FileHandle(forReadingAtPath: path), let data = try? file.readToEnd() ?? Data()
    else {
      throw bad("\(path): error: the file can't be read; name a readable file")
    }
    return [UInt8](data)
  }

  static func text(_ path: String) throws -> String {
    guard let text = String(validating: try read(path), as: UTF8.self) else {
      throw bad("\(path): error: the file is no UTF-8 text; name a text file")
    }
    return text
  }

  static func write(_ path: String, _ bytes: [UInt8]) throws {
    do {
      try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
      throw bad("\(path): error: the file can't be written; check its folder and its rights")
    }
  }

  static func container(_ path: String) throws -> FirmwareContainer {
    let file = try read(path)
    do throws(FirmwareError) {
      return try FirmwareContainer(parsing: file)
    } catch {
      throw bad(
        "\(path): error: \(error); name an image as `nouveau firmware assemble --output` makes it")
    }
  }

  /// Says what is wrong with an input; the command ends with status 2.
  static func bad(_ message: String) -> ExitCode {
    Terminal.complain(message + "\n")
    return ExitCode(2)
  }

  static func hex<T: BinaryInteger>(_ value: T, _ digits: Int = 1) -> String {
    let text = String(value, radix: 16)
    return "0x" + String(repeating: "0", count: max(0, digits - text.count)) + text
  }
}
