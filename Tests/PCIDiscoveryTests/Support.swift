import Base
import Foundation
import PCIDiscovery
import Testing

/// The recordings that ship with the documentation.
enum Recordings {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "docs/recordings")

  static let names = [
    "p100-lost", "p100-pcie-16gb", "rtx-2080", "t4", "titan-v", "v100-pcie-16gb",
  ]

  static func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: folder.appending(path: "\(name).json")))
  }

  static func load(_ name: String) throws -> PCIRecording {
    try PCIRecording.parse(try bytes(name), file: "\(name).json")
  }

  /// Every device of the boards that answer; their addresses differ.
  static func boards() throws -> [PCIDeviceRecord] {
    try names.filter { $0 != "p100-lost" }.flatMap { try load($0).devices }
      .sorted { $0.address < $1.address }
  }
}

/// Another program's run.
struct ProgramRun {
  var status: Int32
  var output: String
  var errors: String

  /// Where a program of the system lies; nil when it isn't installed.
  static func find(_ name: String) -> String? {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  init(_ path: String, _ arguments: [String], environment: [String: String] = [:]) throws {
    let process = Process()
    process.executableURL = URL(filePath: path)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let output = Pipe()
    // One pipe is read to its end while the program runs; the other would fill up unread, so it is
    // a file.
    let errors = FileManager.default.temporaryDirectory
      .appending(path: "pci-discovery-\(UUID().uuidString).log")
    _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
    defer { try? FileManager.default.removeItem(at: errors) }
    process.standardOutput = output
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    status = process.terminationStatus
    self.output = String(decoding: data, as: UTF8.self)
    self.errors = String(decoding: try Data(contentsOf: errors), as: UTF8.self)
  }
}

/// A world without files or devices of its own.
final class FakeWorld {
  var devices: [PCIDeviceRecord] = []
  var files: [String: [UInt8]] = [:]
  var registers: [UInt64: UInt32] = [:]

  var environment: DevicesEnvironment {
    DevicesEnvironment(
      scan: { () throws(DiscoveryError) in self.devices },
      access: { record in
        EmulatedDeviceAccess(record: record) {
          (_: Int, offset: UInt64) throws(DiscoveryError) -> UInt32 in
          self.registers[offset] ?? 0
        }
      },
      readFile: { (path: String) throws(DiscoveryError) in
        guard let bytes = self.files[path] else {
          throw DiscoveryError("\(path) can't be read", remedy: "put it there")
        }
        return bytes
      },
      writeFile: { (path: String, text: String) throws(DiscoveryError) in
        self.files[path] = Array(text.utf8)
      },
      names: { nil })
  }

  func run(_ change: (inout DevicesCommand) -> Void = { _ in }) throws -> String {
    var command = DevicesCommand()
    change(&command)
    return try command.run(in: environment)
  }
}

/// The message of the `DiscoveryError` that `body` throws.
func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no error"
  } catch {
    return "\(error)"
  }
}

/// The first line in which two lists of records differ when written down; nil when they are equal.
func difference(_ a: [PCIDeviceRecord], _ b: [PCIDeviceRecord]) throws -> String? {
  let left = try PCIRecording(note: "", devices: a).text().split(separator: "\n")
  let right = try PCIRecording(note: "", devices: b).text().split(separator: "\n")
  for (index, pair) in zip(left, right).enumerated() where pair.0 != pair.1 {
    return "line \(index + 1): \(pair.0) against \(pair.1)"
  }
  return left.count == right.count ? nil : "\(left.count) lines against \(right.count)"
}

/// Records an issue with the first difference, if there is one.
func expectEqual(
  _ difference: String?, sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(difference == nil, "\(difference ?? "")", sourceLocation: sourceLocation)
}
