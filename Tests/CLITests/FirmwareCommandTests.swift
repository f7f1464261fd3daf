import ArgumentParser
import Foundation
import Testing

@testable import NouveauCLI

@Suite struct FirmwareCommandTests {
  private static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Firmware").path
  private static let image = folder + "/nvidia/gf100/pcopy.bin"
  private static let source = folder + "/pcopy.s"

  /// A folder with a name in it that nobody has written to yet.
  private func withNewFile<R>(_ name: String, _ body: (String) throws -> R) throws -> R {
    try CommandProcess.withFile("unused", "") { path in
      try body(URL(fileURLWithPath: path).deletingLastPathComponent().appending(path: name).path)
    }
  }

  @Test func assemble_buildsTheShippedImage() throws {
    try withNewFile("built.bin") { path in
      let result = try CommandProcess.run([
        "firmware", "assemble", Self.source, "--output", path,
      ])
      #expect(result.status == 0, "\(result.complaints)")
      #expect(FileManager.default.contentsEqual(atPath: path, andPath: Self.image))
    }
  }

  @Test func disassembly_assemblesToTheSameBytes() throws {
    let text = try CommandProcess.run(["firmware", "disassemble", Self.image])
    #expect(text.status == 0, "\(text.complaints)")
    try CommandProcess.withFile("again.s", text.output) { source in
      try withNewFile("again.bin") { path in
        let result = try CommandProcess.run([
          "firmware", "assemble", source, "--output", path, "--version-number", "1",
        ])
        #expect(result.status == 0, "\(result.complaints)")
        #expect(FileManager.default.contentsEqual(atPath: path, andPath: Self.image))
      }
    }
  }

  @Test func aBadSource_isReportedByPlace() throws {
    try CommandProcess.withFile("bad.s", ".section code\n  frobnicate r1\n") { path in
      let result = try CommandProcess.run(["firmware", "assemble", path])
      #expect(result.status == 2)
      #expect(result.output.isEmpty)
      #expect(result.complaints.contains("\(path):2:3: error: "), "\(result.complaints)")
    }
  }

  @Test func inspect_saysWhatAnImageHolds() throws {
    let result = try CommandProcess.run(["firmware", "inspect", Self.image])
    #expect(result.status == 0, "\(result.complaints)")
    #expect(result.output.contains("chip      0x0c0\n"))
    #expect(result.output.contains("version   1\n"))
  }

  @Test func inspect_refusesWhatIsNoImage() throws {
    try CommandProcess.withFile("short.bin", "abc") { path in
      let result = try CommandProcess.run(["firmware", "inspect", path])
      #expect(result.status == 2)
      #expect(result.complaints.hasPrefix("\(path): error: offset 0: "), "\(result.complaints)")
    }
    try CommandProcess.withFile("text.bin", String(repeating: "text", count: 100)) { path in
      let result = try CommandProcess.run(["firmware", "inspect", path])
      #expect(result.status == 2)
      #expect(result.complaints.contains("magic 0x74786574, not 0x10de"), "\(result.complaints)")
    }
    let missing = try CommandProcess.run(["firmware", "inspect", "/nowhere/at-all.bin"])
    #expect(missing.status == 2)
    #expect(missing.complaints.hasPrefix("/nowhere/at-all.bin: error: the file can't be read"))
  }

  @Test func verify_holdsForTheProjectsFolder() throws {
    for arguments in [["firmware", "verify"], ["firmware", "verify", "--firmware", Self.folder]] {
      let result = try CommandProcess.run(arguments)
      #expect(result.status == 0, "\(result.output)\(result.complaints)")
      #expect(result.output == "ok    nvidia/gf100/pcopy.bin\n")
    }
  }

  @Test func verify_findsAnImageThatWasChanged() throws {
    try withNewFile("Firmware") { folder in
      try FileManager.default.copyItem(
        at: URL(fileURLWithPath: Self.folder).resolvingSymlinksInPath(),
        to: URL(fileURLWithPath: folder))
      let path = URL(fileURLWithPath: folder + "/nvidia/gf100/pcopy.bin")
      var bytes = try Data(contentsOf: path)
      bytes[200] ^= 1
      try bytes.write(to: path)
      let result = try CommandProcess.run(["firmware", "verify", "--firmware", folder])
      #expect(result.status == 1)
      #expect(result.output.contains("FAIL  nvidia/gf100/pcopy.bin\n"))
      #expect(result.output.contains("the manifest says "))
      #expect(result.output.contains("the digest is not the file's"))
      try Data("{}".utf8).write(to: URL(fileURLWithPath: folder + "/manifest.json"))
      let broken = try CommandProcess.run(["firmware", "verify", "--firmware", folder])
      #expect(broken.status == 2)
      #expect(broken.complaints.contains("'images' is missing"), "\(broken.complaints)")
    }
  }

  private static let script = """
    // one page, then its first bytes
    fill 0x10000 4096 index
    SRC_ADDRESS_HIGH 0
    SRC_ADDRESS_LOW 0x10000
    DST_ADDRESS_HIGH 0
    0x318 0x20000
    SRC_PITCH 4096
    DST_PITCH 4096
    XCNT 4096
    YCNT 1
    EXEC 0x110
    show 0x20000 16

    """

  @Test func run_saysWhatEachMethodDid() throws {
    try CommandProcess.withFile("methods.txt", Self.script) { path in
      let result = try CommandProcess.run(["firmware", "run", "--image", Self.image, path])
      #expect(result.status == 0, "\(result.output)\(result.complaints)")
      #expect(result.output.contains("0x300 EXEC"))
      #expect(
        result.output.contains(
          "copy of 1 x 4096 bytes from 0x0000010000 to 0x0000020000"), "\(result.output)")
      #expect(
        result.output.hasSuffix(
          "0x0000020000: 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n"))
    }
  }

  @Test func run_takesRawCodeAndData() throws {
    try withNewFile("code") { code in
      let data = code + ".data"
      let made = try CommandProcess.run([
        "firmware", "assemble", Self.source, "--code", code, "--data", data,
      ])
      #expect(made.status == 0, "\(made.complaints)")
      try CommandProcess.withFile("methods.txt", Self.script) { path in
        let result = try CommandProcess.run([
          "firmware", "run", "--code", code, "--data", data, path, "--trace",
        ])
        #expect(result.status == 0, "\(result.complaints)")
        #expect(result.output.contains("interrupt to vector 0"))
      }
    }
  }

  @Test func aRefusedMethod_endsWithOne() throws {
    try CommandProcess.withFile("methods.txt", "0x1ffc 7\n") { path in
      let result = try CommandProcess.run(["firmware", "run", "--image", Self.image, path])
      #expect(result.status == 1)
      #expect(
        result.output.contains("refused: dispatch error 1 [ILLEGAL_MTHD]"), "\(result.output)")
      #expect(result.output.contains("data 0x00000007"))
    }
  }

  @Test func codeThatIsNone_endsWithOneAndSaysWhere() throws {
    try withNewFile("noise") { code in
      try Data([0xf8, 0x05, 0x00, 0x00]).write(to: URL(filePath: code))
      try CommandProcess.withFile("methods.txt", Self.script) { path in
        let result = try CommandProcess.run(["firmware", "run", "--code", code, path])
        #expect(result.status == 1)
        #expect(
          result.output.contains("the processor stands still: no instruction: 0x5f8 at 0x0"),
          "\(result.output)")
      }
    }
  }

  @Test func aBadMethodList_isReportedByPlace() throws {
    let bad = "EXEC\n  FROB 1\nXCNT 12x\nshow 0 0\n0x301 1\n"
    try CommandProcess.withFile("methods.txt", bad) { path in
      let result = try CommandProcess.run(["firmware", "run", "--image", Self.image, path])
      #expect(result.status == 2)
      #expect(result.output.isEmpty)
      for place in ["1:1", "2:3", "3:6", "4:8", "5:1"] {
        #expect(result.complaints.contains("\(path):\(place): error: "), "\(result.complaints)")
      }
    }
  }

  @Test func run_needsOneKindOfMicrocode() throws {
    #expect(throws: (any Error).self) {
      try NouveauCommand.parseAsRoot(["firmware", "run", "methods.txt"])
    }
    #expect(throws: (any Error).self) {
      try NouveauCommand.parseAsRoot([
        "firmware", "run", "methods.txt", "--image", "a", "--code", "b",
      ])
    }
  }
}
