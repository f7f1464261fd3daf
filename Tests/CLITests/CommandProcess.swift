import Foundation

/// The built command, run as a process of its own with its output in pipes.
enum CommandProcess {
  struct Result {
    let status: Int32
    let output: String
    let complaints: String
  }

  /// Beside the test runner, where the build puts both.
  private static let folder = URL(fileURLWithPath: CommandLine.arguments[0])
    .resolvingSymlinksInPath().deletingLastPathComponent()

  static func run(_ arguments: [String]) throws -> Result {
    let process = Process()
    process.executableURL = folder.appending(path: "nouveau")
    return try run(process, arguments)
  }

  /// Runs a copy of the command with `here` as its current folder, so that the project's own files
  /// are neither above it nor above the folder.
  static func run(_ arguments: [String], in here: URL) throws -> Result {
    let copy = here.appending(path: "nouveau")
    try FileManager.default.copyItem(at: folder.appending(path: "nouveau"), to: copy)
    let process = Process()
    process.executableURL = copy
    process.currentDirectoryURL = here
    return try run(process, arguments)
  }

  private static func run(_ process: Process, _ arguments: [String]) throws -> Result {
    process.arguments = arguments
    let output = Pipe()
    let complaints = Pipe()
    process.standardOutput = output
    process.standardError = complaints
    try process.run()
    // The outputs of these tests fit a pipe's buffer, so reading one after the other can't block.
    let text = output.fileHandleForReading.readDataToEndOfFile()
    let errors = complaints.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Result(
      status: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
      complaints: String(decoding: errors, as: UTF8.self))
  }

  /// A scenario that holds: two pages go to the device and come back.
  static func scenario(named name: String) -> String {
    """
    scenario: \(name)
    summary: Two pages go and come back.
    processes: [{name: app, mappings: [{name: buffer, size: 2 pages}]}]
    steps:
      - fill: {mapping: buffer, pattern: index}
      - migrate: {mapping: buffer, to: device, moved: 2}
      - read: {mapping: buffer}

    """
  }

  /// A file with this text in a folder that is removed afterwards.
  static func withFile<R>(_ name: String, _ text: String, _ body: (String) throws -> R) throws -> R
  {
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "nouveau-cli-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appending(path: name)
    try Data(text.utf8).write(to: file)
    return try body(file.path)
  }
}
