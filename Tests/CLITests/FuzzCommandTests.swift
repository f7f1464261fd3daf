import Foundation
import Testing

/// `nouveau fuzz`, run as people run it.
@Suite struct FuzzCommandTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "nouveau-fuzz-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder.path)
  }

  @Test func aTrapAndABrokenPromise_areFoundSavedAndRepeated() throws {
    try withFolder { folder in
      let result = try CommandProcess.run([
        "fuzz", "canary", "--first", "1000", "--inputs", "90", "--keep", folder, "--seed", "3",
      ])
      #expect(result.status == 1)
      #expect(result.output.contains("88 inputs from 1000 on, seed 3"), "\(result.output)")
      #expect(result.output.contains("FOUND  input 1040: trap (signal "), "\(result.output)")
      #expect(result.output.contains("FOUND  input 1070: the canary's promise"))
      #expect(
        result.output.contains(
          "repeat: nouveau fuzz canary --seed 3 --first 1040 --inputs 1 --here")
      )
      let saved = "\(folder)/fuzz-canary-3-1070.bin"
      let again = try CommandProcess.run(["fuzz", "canary", "--file", saved])
      #expect(again.status == 1)
      #expect(again.output == "canary: 1 bytes: BROKEN: the canary's promise\n")
      #expect(
        FileManager.default.contents(atPath: "\(folder)/fuzz-canary-3-1040.bin") == Data([40]))
    }
  }

  @Test func aShardOfACampaign_runsItsPart() throws {
    let result = try CommandProcess.run([
      "fuzz", "container", "falcon", "--inputs", "100", "--shard", "2/3", "--json",
    ])
    #expect(result.status == 0, "\(result.complaints)")
    let list = try #require(
      try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]])
    #expect(list.map { $0["target"] as? String } == ["container", "falcon"])
    #expect(list.map { $0["inputs"] as? Int } == [33, 33])
    #expect(list.allSatisfy { ($0["findings"] as? [Any])?.isEmpty == true })
  }

  @Test func everyTarget_isListedAndRuns() throws {
    let list = try CommandProcess.run(["fuzz", "--list"])
    let names = list.output.split(separator: "\n").map { $0.prefix { $0 != " " } }
    #expect(
      names == ["vbios", "container", "pushbuffer", "falcon", "assembler", "recording", "scenario"])
    let result = try CommandProcess.run(["fuzz", "--inputs", "10", "--here"])
    #expect(result.status == 0, "\(result.output)")
    #expect(result.output.components(separatedBy: "nothing found").count == 8)
  }

  @Test(arguments: [
    ["fuzz", "teapot"], ["fuzz", "--inputs", "0"], ["fuzz", "--shard", "4/3"],
    ["fuzz", "--first", "18446744073709551615", "--inputs", "2"], ["fuzz", "--file", "x"],
  ])
  func badOptions_areRefused(_ arguments: [String]) throws {
    let result = try CommandProcess.run(arguments)
    #expect(result.status != 0 && result.status != 1)
    #expect(result.output.isEmpty && !result.complaints.isEmpty)
  }

  @Test func aFileThatIsNotThere_endsWithTwo() throws {
    let result = try CommandProcess.run(["fuzz", "vbios", "--file", "/nowhere/x.bin"])
    #expect(result.status == 2)
  }
}
