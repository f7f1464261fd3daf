import Base
import Falcon

/// Loads microcode into a falcon of version 3 through its registers, starts it, stops it.
///
/// Whatever goes wrong, the engine is left in reset with its interrupts off, and can be tried
/// again.
struct FalconLoader {
  let device: NVKMDevice
  /// Where its registers begin.
  let base: UInt32
  /// Its bit in PMC_ENABLE.
  let resetBit: UInt32

  /// How long the microcode may take to its resting place; nanoseconds.
  ///
  /// SOURCE: nvkm/falcon/v1.c, nvkm_falcon_v1_wait_for_halt and its callers wait 2 s at most.
  static let startLimit: UInt64 = 2_000_000_000

  private func read(_ register: FalconRegister) -> UInt32 {
    device.registers.read(base + register.rawValue)
  }
  private func write(_ register: FalconRegister, _ value: UInt32) {
    device.registers.write(base + register.rawValue, value)
  }

  /// Resets the engine, uploads the image and starts it; `instance` is the engine's number, which
  /// the microcode reads.
  ///
  /// Kernel: nvkm_falcon_init (nvkm/engine/falcon.c), gf100_ce_init (nvkm/engine/ce/gf100.c)
  func load(_ image: FalconImage, instance: UInt32) async throws(FirmwareFailure) {
    reset()
    let caps = read(.caps)
    try check(image, image.code, limit: Int(caps & 0x1ff) << 8)
    try check(image, image.data, limit: Int(caps >> 9 & 0x1ff) << 8)
    write(.interruptEnableClear, .max)
    upload(image.code)
    upload(data: image.data, limit: Int(caps >> 9 & 0x1ff) << 8)
    write(.blockOnFIFO, 1)
    write(.entry, image.entry)
    write(.control, 2)
    write(.accessEnable, 3)
    write(.scratch3, instance)
    do throws(FirmwareFailure) {
      try await waitForRest(image)
    } catch {
      reset()
      throw error
    }
  }

  private func check(_ image: FalconImage, _ bytes: [UInt8], limit: Int)
    throws(FirmwareFailure)
  {
    if bytes.count > limit {
      throw .tooLarge(image.path, bytes: bytes.count, limit: limit)
    }
  }

  /// Code, in pages of 256 bytes that are mapped one to one; the last one is filled up.
  private func upload(_ code: [UInt8]) {
    write(.codeIndex, 1 << 24)
    let words = (code.count + 0xff) / 0x100 * 0x40
    for index in 0..<words {
      if index % 0x40 == 0 { write(.codeTag, UInt32(index / 0x40)) }
      write(.codeData, Self.word(code, index))
    }
  }

  /// Data, and zeros behind it.
  private func upload(data: [UInt8], limit: Int) {
    write(.dataIndex, 1 << 24)
    for index in 0..<limit / 4 { write(.dataData, Self.word(data, index)) }
  }

  private static func word(_ bytes: [UInt8], _ index: Int) -> UInt32 {
    (0..<4).reduce(0) { word, byte in
      let at = index * 4 + byte
      return at < bytes.count ? word | UInt32(bytes[at]) << UInt32(byte * 8) : word
    }
  }

  /// Microcode has begun its work when it sleeps and waits for interrupts.
  ///
  /// nouveau doesn't wait: microcode that never starts shows as a channel that hangs.
  private func waitForRest(_ image: FalconImage) async throws(FirmwareFailure) {
    let stopped: UInt32 = 1 << 4
    let sleeping: UInt32 = 1 << 5
    _ = await device.wait(Self.startLimit) { read(.control) & (stopped | sleeping) != 0 }
    let state = read(.control)
    if state == .max || state & (stopped | sleeping) == 0 { throw .startTimedOut(image.path) }
    if state & stopped != 0 { throw .stopped(image.path, pc: read(.programCounter)) }
  }

  /// Closes the engine to the host and to channel switches, and turns its interrupts off.
  ///
  /// Kernel: nvkm_falcon_fini (nvkm/engine/falcon.c)
  func stop() {
    let access = base + FalconRegister.accessEnable.rawValue
    device.registers.modify(access, 3, 0)
    write(.interruptEnableClear, .max)
  }

  /// Kernel: nvkm_mc_reset (nvkm/subdev/mc/base.c)
  func reset() {
    guard resetBit < 32 else { return }
    device.resetUnit(1 << resetBit)
    write(.interruptEnableClear, .max)
  }
}
