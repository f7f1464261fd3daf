import Base
import DeviceSeam
import EmulatedGPU
import Falcon
import Foundation
import KernelRuntime
import LinuxMM
import NVHardware
import Testing

@testable import Nouveau

/// Images that a test makes.
final class MemoryFirmware: FirmwareStore {
  var images: [(path: String, bytes: [UInt8])] = []
  /// What was asked for, in order.
  private(set) var requests: [String] = []

  init(_ images: [(path: String, bytes: [UInt8])] = []) { self.images = images }

  func image(at path: String) -> [UInt8]? {
    requests.append(path)
    return images.first { $0.path == path }?.bytes
  }

  static let path = "nvidia/gf100/pcopy.bin"

  /// The image that the project ships.
  static func shipped() throws -> [UInt8] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    return [UInt8](try Data(contentsOf: folder.appending(path: "Firmware/" + path)))
  }

  /// A program of one's own, for the engine or for another chip.
  static func image(_ source: String, chip: UInt32 = 0x0c0) throws -> [UInt8] {
    FirmwareContainer(program: try FalconAssembler.assemble(source), chip: chip, version: 1).bytes
  }
}

/// `request_firmware`, the checks of an image, upload and start: each failure by its name, the
/// engine left in reset, and the next try works.
@Suite struct FalconLoaderTests {
  private static func board(_ failures: FailurePlan = FailurePlan()) throws -> Board {
    try Board(failures: failures, configuration: GPUConfiguration(chip: GF100Copy()))
  }

  /// Probes with this store; the error, and what the log of the failed device said.
  private static func probe(_ board: Board, _ store: MemoryFirmware) throws -> KernelError? {
    let result = try board.kernel.runThrowing { () async throws(KernelError) in
      let device = try await NouveauDevice.probe(
        board.kernel, board.mm, board.gpu, firmware: store)
      try await NouveauFence.emit(on: device.copyChannel).wait()
      #expect(device.logLines == [])
      await device.shutdown()
      #expect(device.usage == DeviceUsage())
    }
    do throws(KernelError) {
      try result.get()
      return nil
    } catch {
      return error
    }
  }

  /// The engine's registers after a failure: stopped, closed, no interrupt enabled.
  private static func expectReset(_ board: Board) {
    for base: UInt32 in [0x10_4000, 0x10_5000] {
      #expect(board.gpu.registers.read32(at: base + FalconRegister.control.rawValue) == 1 << 4)
      #expect(board.gpu.registers.read32(at: base + FalconRegister.accessEnable.rawValue) == 0)
      #expect(board.gpu.registers.read32(at: base + FalconRegister.interruptEnable.rawValue) == 0)
    }
    #expect(board.gpu.audit() == [])
  }

  /// Fails as told, leaves the engines in reset, and works with the shipped image then.
  private static func expect(
    _ error: KernelError, of image: [UInt8]?, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let board = try board()
    let store = MemoryFirmware(image.map { [(MemoryFirmware.path, $0)] } ?? [])
    #expect(try probe(board, store) == error, sourceLocation: sourceLocation)
    expectReset(board)
    store.images = [(MemoryFirmware.path, try MemoryFirmware.shipped())]
    #expect(try probe(board, store) == nil, sourceLocation: sourceLocation)
    #expect(board.gpu.audit() == [], sourceLocation: sourceLocation)
  }

  @Test func theShippedImage_runsOnBothEngines() throws {
    let store = MemoryFirmware([(MemoryFirmware.path, try MemoryFirmware.shipped())])
    let board = try Self.board()
    #expect(try Self.probe(board, store) == nil)
    #expect(store.requests == [MemoryFirmware.path, MemoryFirmware.path])
  }

  @Test func missing_looksInEachPlaceAndSaysSo() throws {
    let store = MemoryFirmware()
    let board = try Self.board()
    #expect(try Self.probe(board, store) == .ENOENT)
    #expect(
      store.requests.prefix(2) == [MemoryFirmware.path, "nouveau/nvc0_fuc104d"])
    try Self.expect(.ENOENT, of: nil)
  }

  @Test func truncated_isNamed() throws {
    let image = try MemoryFirmware.shipped()
    for count in [0, 3, 0x17, 0x60, image.count - 1] {
      try Self.expect(.EINVAL, of: Array(image.prefix(count)))
    }
  }

  @Test func wrongMagic_isNamed() throws {
    var image = try MemoryFirmware.shipped()
    image[0] ^= 0xff
    try Self.expect(.EINVAL, of: image)
  }

  @Test func wrongChip_isNamed() throws {
    try Self.expect(
      .ENODEV, of: try MemoryFirmware.image("loop: sleep p0\nbra loop\n", chip: 0x0a3))
  }

  @Test func badDigest_isNamed() throws {
    var image = try MemoryFirmware.shipped()
    image[image.count - 1] ^= 1
    try Self.expect(.EBADMSG, of: image)
  }

  @Test func tooMuchCode_isNamed() throws {
    try Self.expect(.E2BIG, of: try MemoryFirmware.image(".skip 0x1300\n"))
  }

  @Test func microcodeThatNeverRests_timesOut() throws {
    try Self.expect(.ETIMEDOUT, of: try MemoryFirmware.image("loop: bra loop\n"))
  }

  @Test func microcodeThatStops_isNamed() throws {
    try Self.expect(.EIO, of: try MemoryFirmware.image("exit\n"))
  }

  /// The failure itself, with its words, as the log has it.
  @Test func failures_sayWhatAndWhere() throws {
    let kernel = Kernel()
    var image = try MemoryFirmware.shipped()
    image[1] = 0x55
    let store = MemoryFirmware([(MemoryFirmware.path, image)])
    #expect(
      throws: FirmwareFailure.image(
        MemoryFirmware.path, .wrongMagic(offset: 0, found: 0x55de))
    ) {
      _ = try FalconImage.request(
        ChipGF100Copy.microcode, base: 0x10_4000, store, kernel)
    }
    #expect(
      FirmwareFailure.missing(["a", "b"]).description == "no microcode: none of a, b")
    #expect(
      FirmwareFailure.stopped("x", pc: 0x12).description == "x: the microcode stopped at 0x12")
  }

  /// Code and data as other drivers' tools extract them, under the names that nouveau asks for.
  @Test func rawImages_areTaken() throws {
    let container = try FirmwareContainer(parsing: try MemoryFirmware.shipped())
    let store = MemoryFirmware([
      ("nouveau/nvc0_fuc104d", container.data), ("nouveau/nvc0_fuc104c", container.code),
      ("nouveau/nvc0_fuc105d", container.data), ("nouveau/nvc0_fuc105c", container.code),
    ])
    #expect(try Self.probe(try Self.board(), store) == nil)
  }

  @Test func anArmedRequest_fails() throws {
    let failures = FailurePlan()
    failures.arm(.firmwareLoad, .nth(2), error: .EINVAL)
    let board = try Self.board(failures)
    let store = MemoryFirmware([(MemoryFirmware.path, try MemoryFirmware.shipped())])
    // The second engine's request: the first one runs by then, and is stopped.
    #expect(try Self.probe(board, store) == .EINVAL)
    Self.expectReset(board)
    #expect(try Self.probe(board, store) == nil)
  }
}
