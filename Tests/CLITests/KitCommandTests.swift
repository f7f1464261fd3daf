import Foundation
import Testing

/// `sweep`, `explore`, `replay` and `merge` as somebody uses them who has never seen them.
@Suite struct KitCommandTests {
  private static let small = CommandProcess.scenario(named: "small")

  @Test func sweep_saysWhatItLeftOut_andDoesNotCountIt() throws {
    try CommandProcess.withFile("small.yaml", Self.small) { path in
      let result = try CommandProcess.run([
        "sweep", path, "--point", "mm.page_alloc", "--point", "dma.map", "--sample", "1",
        "--jobs", "2", "--brief", "--tap", path + ".tap",
      ])
      #expect(result.status == 0, "\(result.output)")
      let lines = result.output.split(separator: "\n")
      #expect(lines.count == 2, "\(lines)")
      #expect(lines[0].contains(" passed, 0 failed, 0 invalid; not run: "))
      #expect(lines[1].hasSuffix(" passed, 0 failed, 0 invalid, 1 skipped"))
      let tap = try String(contentsOfFile: path + ".tap", encoding: .utf8)
      #expect(tap.contains("# SKIP not run: "))
    }
  }

  /// A scenario that fails by itself: said first, with the token; the token repeats it.
  @Test func whatFailsByItself_isNotSwept_andItsTokenRepeatsIt() throws {
    let wrong = Self.small.replacing("moved: 2", with: "moved: 1")
    try CommandProcess.withFile("small.yaml", wrong) { path in
      let swept = try CommandProcess.run(["sweep", path])
      #expect(swept.status == 1)
      #expect(
        swept.output.hasPrefix("small: FAILED without any failure injected, so none was: step 2"))
      #expect(swept.output.contains("0 passed, 1 failed, 0 invalid, 0 skipped"))
      let explored = try CommandProcess.run(["explore", path, "--schedules", "2"])
      #expect(explored.status == 1)
      for output in [swept.output, explored.output] {
        let command = try #require(output.split(separator: "\n").first { $0.contains("repeat: ") })
        let words = command.split(separator: " ").map(String.init)
        let again = try CommandProcess.run(Array(words.dropFirst(2)) + ["--brief"])
        #expect(again.status == 1 && again.output.contains("-- OFFENCE step 2"), "\(words)")
      }
    }
  }

  /// What the scenario names has to be reached by some order, and by one part for all.
  @Test func reaches_isAskedWithoutAnOption() throws {
    let text = Self.small.replacing(
      "\nprocesses:", with: "\nreaches: [CPU fault during eviction]\nprocesses:")
    try CommandProcess.withFile("small.yaml", text) { path in
      let result = try CommandProcess.run(["explore", path, "--schedules", "2"])
      #expect(result.status == 1)
      #expect(result.output.contains("small: CPU fault during eviction: NEVER REACHED\n"))
      let part = ["explore", path, "--schedules", "2", "--shard"]
      for shard in ["1/2", "2/2", "3/3"] {
        let result = try CommandProcess.run(part + [shard])
        #expect(result.status == 0, "\(result.output)")
        #expect(result.output.contains("CPU fault during eviction: not reached in this part\n"))
      }
      let parts = try ["1/2", "2/2"].map { shard in
        let file = path + "-" + shard.prefix(1)
        let result = try CommandProcess.run(part + [shard, "--json"])
        try result.output.write(toFile: file, atomically: true, encoding: .utf8)
        return file
      }
      let merged = try CommandProcess.run(["merge"] + parts)
      #expect(merged.status == 1)
      #expect(
        merged.output.hasPrefix("failed: small: reaches CPU fault during eviction: no part "))
    }
  }

  /// A strategy, failures under each of its orders, and pairs of failures.
  @Test func sweepsUnderOrdersAndPairs_areTold() throws {
    try CommandProcess.withFile("small.yaml", Self.small) { path in
      let points = ["--point", "dma.map"]
      let pairs = try CommandProcess.run(["sweep", path, "--pairs", "--brief"] + points)
      #expect(pairs.status == 0 && pairs.output.contains(" of them pairs"), "\(pairs.output)")
      let orders = try CommandProcess.run([
        "explore", path, "--sweep", "--schedules", "2", "--strategy", "pct:2", "--brief",
      ])
      #expect(orders.status == 0, "\(orders.output)")
      #expect(orders.output.contains(" 0 failed, 0 invalid"))
      let empty = try CommandProcess.run(["sweep", path, "--shard", "999/999"] + points)
      #expect(empty.status == 0 && empty.output.hasPrefix("small: none of "), "\(empty.output)")
      #expect(empty.output.hasSuffix("0 passed, 0 failed, 0 invalid, 1 skipped\n"))
    }
  }

  @Test func shards_mergeIntoTheWhole_andAMissingOneIsNamed() throws {
    try CommandProcess.withFile("small.yaml", Self.small) { path in
      var parts: [String] = []
      for shard in ["1/2", "2/2"] {
        let part = path + "-\(parts.count)"
        let result = try CommandProcess.run([
          "explore", path, "--schedules", "4", "--shard", shard, "--json",
        ])
        try result.output.write(toFile: part, atomically: true, encoding: .utf8)
        parts.append(part)
      }
      let merged = try CommandProcess.run(["merge"] + parts)
      #expect(merged.status == 0 && merged.output == "1 passed, 0 failed, 0 invalid, 0 skipped\n")
      let missing = try CommandProcess.run(["merge", parts[1]])
      #expect(missing.status == 2 && missing.complaints == "merge: missing shards 1/2\n")
      let twice = try CommandProcess.run(["merge", parts[0], parts[0], parts[1]])
      #expect(twice.status == 2 && twice.complaints == "merge: shard 1/2 is there twice\n")
      let strange = try CommandProcess.run(["merge", path])
      #expect(
        strange.complaints == "\(path): error: results: not JSON; name a file that sweep or "
          + "explore wrote with --json\n")
    }
  }

  @Test(arguments: [
    (["explore", "x.yaml", "--schedules", "0"], "--schedules counts from 1."),
    (["explore", "x.yaml", "--jobs", "0"], "--jobs counts from 1."),
    (["sweep", "x.yaml", "--sample", "0"], "--sample counts from 1."),
    (["sweep", "x.yaml", "--passages", "0"], "--passages counts from 1."),
    (["sweep", "x.yaml", "--point", "dma.mop"], "No injection point is called 'dma.mop'"),
    (["sweep", "x.yaml", "--shard", "3/2"], "'3/2' is no k/n with 1 <= k <= n."),
  ])
  func badOption_isRefusedWithItsReason(arguments: [String], message: String) throws {
    let result = try CommandProcess.run(arguments)
    #expect(result.status == 64 && result.complaints.contains(message), "\(result.complaints)")
  }

  @Test(arguments: [
    (["sweep", "/"], "/:1:1: error: this is a folder; name the scenario files in it, such as "),
    (["explore", "/nowhere.yaml"], "/nowhere.yaml:1:1: error: the file can't be read; name a "),
    (["replay", "garbage"], "replay token: version: 'garbage' where 'n1' is expected; copy the "),
    (["replay", "n1/x"], "replay token: form: 2 parts between slashes instead of 7; was it cut "),
    (["merge", "/nowhere.json"], "/nowhere.json: error: the file can't be read; name a file of "),
  ])
  func badInput_endsWithTwo(arguments: [String], message: String) throws {
    let result = try CommandProcess.run(arguments)
    #expect(result.status == 2 && result.output.isEmpty)
    #expect(result.complaints.hasPrefix(message), "\(result.complaints)")
  }

  /// Hours of work must not end in a file that can't be written.
  @Test func resultsFile_isTriedBeforeTheWork() throws {
    let result = try CommandProcess.run([
      "explore", "/nowhere.yaml", "--junit", "/nowhere/x.xml",
    ])
    #expect(result.status == 2)
    #expect(
      result.complaints
        == "/nowhere/x.xml: error: the file can't be written; name a writable file\n")
  }
}
