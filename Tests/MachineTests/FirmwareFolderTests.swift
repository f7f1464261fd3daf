import Foundation
import Machine
import Testing

@Suite struct FirmwareFolderTests {
  private func withFolders(_ body: (String, String) throws -> Void) throws {
    let base = FileManager.default.temporaryDirectory
      .appending(path: "nouveau-firmware-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: base) }
    for (folder, byte) in [("updates", UInt8(1)), ("plain", 2)] {
      let images = base.appending(path: folder + "/nvidia")
      try FileManager.default.createDirectory(at: images, withIntermediateDirectories: true)
      try Data([byte]).write(to: images.appending(path: folder + ".bin"))
      try Data([byte]).write(to: images.appending(path: "both.bin"))
    }
    try body(base.appending(path: "updates").path, base.appending(path: "plain").path)
  }

  @Test func folders_areSearchedInOrder() throws {
    try withFolders { updates, plain in
      let folder = FirmwareFolder([updates, plain])
      #expect(folder.image(at: "nvidia/both.bin") == [1])
      #expect(folder.image(at: "nvidia/plain.bin") == [2])
      #expect(folder.image(at: "nvidia/none.bin") == nil)
      #expect(FirmwareFolder([plain, updates]).image(at: "nvidia/both.bin") == [2])
    }
  }

  @Test func paths_stayInsideAFolder() throws {
    try withFolders { updates, plain in
      let folder = FirmwareFolder([plain])
      #expect(folder.image(at: "../updates/nvidia/updates.bin") == nil)
      #expect(folder.image(at: updates + "/nvidia/updates.bin") == nil)
    }
  }

  @Test func theProjectsFolder_isFound() {
    #expect(FirmwareFolder.ofProject().image(at: "nvidia/gf100/pcopy.bin") != nil)
  }
}
