import ArgumentParser
import Foundation
import Testing

@testable import NouveauCLI

@Suite struct DevicesCommandTests {
  private static let recordings = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "docs/recordings").path

  @Test func aRecording_isReportedWithItsVerdict() throws {
    let file = Self.recordings + "/p100-pcie-16gb.json"
    let result = try CommandProcess.run(["devices", "--from", file])
    #expect(result.status == 0, "\(result.complaints)")
    #expect(result.output.contains("10de:15f8"))
    #expect(result.output.contains("modelled"))
    #expect(result.complaints.isEmpty)
  }

  @Test func json_isOneDocument() throws {
    let file = Self.recordings + "/rtx-2080.json"
    let result = try CommandProcess.run(["devices", "--from", file, "--all", "--json"])
    #expect(result.status == 0, "\(result.complaints)")
    let parsed = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
    #expect(parsed is [String: Any])
  }

  @Test func thisMachine_isNoError() throws {
    // With a board or without: no device is an answer. A build without libpciaccess says so.
    let result = try CommandProcess.run(["devices"])
    #expect(result.status == 0 || result.complaints.contains("libpciaccess"))
    #expect(result.status == 0 ? !result.output.isEmpty : result.status == 2)
  }

  @Test func aFileThatIsNotThere_endsWithTwo() throws {
    let result = try CommandProcess.run(["devices", "--from", "/nowhere/at-all.json"])
    #expect(result.status == 2)
    #expect(result.output.isEmpty)
    #expect(result.complaints.hasPrefix("error: /nowhere/at-all.json can't be read: "))
  }

  @Test func aBrokenRecording_namesThePlace() throws {
    try CommandProcess.withFile("bad.json", "{\n  \"format\": 3,\n") { path in
      let result = try CommandProcess.run(["devices", "--from", path])
      #expect(result.status == 2)
      #expect(result.complaints.contains("\(path):"), "\(result.complaints)")
      #expect(result.complaints.contains("; "), "no remedy: \(result.complaints)")
    }
  }

  @Test func aROMFile_goesWithNothingElse() throws {
    try CommandProcess.withFile("board.rom", "no rom") { path in
      #expect(try CommandProcess.run(["devices", "--rom", path]).status == 2)
      let result = try CommandProcess.run(["devices", "--rom", path, "--all"])
      #expect(result.status == 2)
      #expect(result.complaints.contains("don't go with it"))
    }
  }
}
