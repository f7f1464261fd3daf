import Base
import Foundation
import Testing

@testable import Falcon

enum Firmware {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Firmware")
  static let gf100: UInt32 = 0x0c0
  static let version: UInt32 = 1

  /// Our microcode, assembled from its source.
  static func program() throws -> FalconProgram {
    let source = try String(contentsOf: folder.appending(path: "pcopy.s"), encoding: .utf8)
    return try FalconAssembler.assemble(source, file: "pcopy.s")
  }

  static func container() throws -> FirmwareContainer {
    FirmwareContainer(program: try program(), chip: gf100, version: version)
  }
}

@Test func images_areWhatTheirSourcesBuild() throws {
  let container = try Firmware.container()
  let manifest = FirmwareManifest(images: [
    FirmwareManifest.Entry(
      file: "nvidia/gf100/pcopy.bin", source: "pcopy.s", chip: "gf100", container: container)
  ])
  let image = Firmware.folder.appending(path: "nvidia/gf100/pcopy.bin")
  let list = Firmware.folder.appending(path: "manifest.json")
  if ProcessInfo.processInfo.environment["FALCON_FIRMWARE_WRITE"] == "1" {
    try FileManager.default.createDirectory(
      at: image.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(container.bytes).write(to: image)
    try Data(manifest.json.utf8).write(to: list)
  }
  let remedy = "rebuild with FALCON_FIRMWARE_WRITE=1, see Firmware/README.md"
  #expect([UInt8](try Data(contentsOf: image)) == container.bytes, "pcopy.bin: \(remedy)")
  #expect(try String(contentsOf: list, encoding: .utf8) == manifest.json, "manifest: \(remedy)")
  #expect(
    try JSONDecoder().decode(FirmwareManifest.self, from: Data(contentsOf: list)) == manifest)
  #expect(container.code.count <= FalconConfiguration.pcopy.codeBytes)
  #expect(container.data.count <= FalconConfiguration.pcopy.dataBytes)
}

@Test func container_readsBackWhatItWrote() throws {
  let container = try Firmware.container()
  let read = try FirmwareContainer(parsing: container.bytes, expectedChip: Firmware.gf100)
  #expect(read == container)
  #expect(read.code.count % 0x100 == 0)
}

@Test func damagedContainers_areNamedWithTheirOffset() throws {
  let good = try Firmware.container().bytes
  func failure(_ chip: UInt32? = nil, _ change: (inout [UInt8]) -> Void) -> FirmwareError? {
    var bytes = good
    change(&bytes)
    do {
      _ = try FirmwareContainer(parsing: bytes, expectedChip: chip)
      return nil
    } catch {
      return error
    }
  }
  #expect(failure { $0 = [] } == .truncated(offset: 0, needed: 4, size: 0))
  #expect(
    failure { $0.removeLast() }
      == .truncated(offset: 8, needed: good.count, size: good.count - 1))
  #expect(
    failure { $0.append(0) }
      == .wrongSize(offset: 8, stated: UInt32(good.count), size: good.count + 1))
  #expect(failure { $0[0] = 0xdf } == .wrongMagic(offset: 0, found: 0x10df))
  #expect(failure { $0[4] = 2 } == .unsupportedVersion(offset: 4, found: 2))
  #expect(failure { $0[0xc] = 0x04 } == .badHeader(offset: 0xc, stated: 4))
  #expect(
    failure { $0[0x10] = 0xff }
      == .badPart(offset: 0x10, start: 0xff, length: UInt32(good.count - 0x60)))
  #expect(failure { $0[0x18] = 0x40 } == .badHeader(offset: 0x18, stated: 0x40))
  #expect(
    failure(0x0c4) { _ in } == .wrongChip(offset: 0x1c, found: 0x0c0, expected: 0x0c4))
  #expect(failure { $0[0x20] = 5 } == .wrongProcessor(offset: 0x20, found: 5))
  #expect(failure { $0[0x2c] = 1 }.map { "\($0)" }?.hasPrefix("offset 44: a part") == true)
  #expect(failure { $0[0x3a] = 1 } == .badEntry(offset: 0x38, entry: 0x10000))
  #expect(failure { $0[0x45] ^= 1 } == .badDigest(offset: 0x40))
  #expect(failure { $0[0x61] ^= 1 } == .badDigest(offset: 0x40))
  #expect(failure { $0[0x61] ^= 1 }?.kernelError == .EBADMSG)
  #expect(failure(0) { _ in }?.kernelError == .ENODEV)
  #expect(failure { $0[0] = 0 }?.kernelError == .EINVAL)
}

@Test func sha256_matchesThePublishedVectors() {
  // SOURCE: FIPS 180-4 example vectors (NIST CAVP): "abc", the empty message, the two-block
  // message.
  #expect(
    SHA256.hex(Array("abc".utf8))
      == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  #expect(
    SHA256.hex([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  #expect(
    SHA256.hex(Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8))
      == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
}
