import Foundation
import Testing

/// Each misuse that docs/contract.md calls the compiler's is compiled, and refused for its reason.
///
/// The built modules are those beside the test itself. All misuses of a kind are one file, told
/// apart by their lines, so that the whole costs three runs of the compiler.
@Suite(.enabled(if: Compiler.isThere, "no swiftc on PATH: misuses can't be compiled"))
struct MisuseTests {
  @Test func typeMisuses_areRefused() throws {
    try expectRefusals(Misuse.types)
  }

  @Test func ownershipMisuses_areRefused() throws {
    try expectRefusals(Misuse.ownership)
  }

  @Test func soundUse_compiles() throws {
    let errors = try Compiler.errors(Misuse.imports + Misuse.sound)
    #expect(errors.isEmpty, "\(errors)")
  }

  private func expectRefusals(_ misuses: [Misuse]) throws {
    // One enclosing type each, since the functions have the same name.
    let lines = misuses.enumerated().map { "enum Misuse\($0) { \($1.code) }" }
    let errors = try Compiler.errors(Misuse.imports + lines)
    for (index, misuse) in misuses.enumerated() {
      let line = Misuse.imports.count + index + 1
      #expect(
        errors.contains { $0.line == line && $0.text.contains(misuse.diagnostic) },
        "\(misuse.name) compiles, or fails for another reason: \(errors.filter { $0.line == line })"
      )
    }
  }
}

/// swiftc on the test's own built modules.
enum Compiler {
  struct Diagnostic: CustomStringConvertible {
    let line: Int
    let text: String
    var description: String { "\(line): \(text)" }
  }

  static let executable: URL? = (ProcessInfo.processInfo.environment["PATH"] ?? "")
    .split(separator: ":").map { URL(fileURLWithPath: String($0)).appendingPathComponent("swiftc") }
    .first { FileManager.default.isExecutableFile(atPath: $0.path) }

  static var isThere: Bool { executable != nil }

  /// Beside the test bundle, as SwiftPM lays its build folder out.
  private static func modules() throws -> URL {
    let places =
      [Bundle.main.executableURL, CommandLine.arguments.first.map(URL.init(fileURLWithPath:))]
      .compactMap { $0 }
      + CommandLine.arguments.filter { $0.hasSuffix(".xctest") }
      .map(URL.init(fileURLWithPath:))
    for place in places {
      var folder = place
      while folder.pathComponents.count > 1 {
        folder.deleteLastPathComponent()
        let modules = folder.appendingPathComponent("Modules")
        let known = modules.appendingPathComponent("LinuxMM.swiftmodule")
        if FileManager.default.fileExists(atPath: known.path) { return modules }
      }
    }
    throw Missing(looked: places.map(\.path))
  }

  struct Missing: Error, CustomStringConvertible {
    let looked: [String]
    var description: String { "no folder of built modules beside \(looked)" }
  }

  /// The errors of compiling `lines` as far as ownership is checked.
  static func errors(_ lines: [String]) throws -> [Diagnostic] {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("misuse-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let source = folder.appendingPathComponent("Misuse.swift")
    try (lines.joined(separator: "\n") + "\n").write(to: source, atomically: true, encoding: .utf8)
    let output = Pipe()
    let process = Process()
    process.executableURL = executable
    process.arguments = [
      "-swift-version", "6", "-emit-sil", "-o", folder.appendingPathComponent("out.sil").path,
      "-module-name", "Misuse", "-I", try modules().path, source.path,
    ]
    process.standardError = output
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    let found = diagnostics(text)
    // A compiler that fails without a place would otherwise look like one that refuses nothing.
    if process.terminationStatus != 0 && found.isEmpty { throw Failed(text: text) }
    return found
  }

  struct Failed: Error, CustomStringConvertible {
    let text: String
    var description: String { "swiftc failed: \(text)" }
  }

  /// Lines of the form `…/Misuse.swift:7:52: error: …`.
  private static func diagnostics(_ text: String) -> [Diagnostic] {
    text.split(separator: "\n").compactMap { line in
      guard let file = line.range(of: "Misuse.swift:"), let mark = line.range(of: " error: "),
        let number = line[file.upperBound...].split(separator: ":").first.flatMap({ Int($0) })
      else { return nil }
      return Diagnostic(line: number, text: String(line[mark.upperBound...]))
    }
  }
}
