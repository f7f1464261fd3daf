import Base
import EmulatedGPU
import Falcon
import Foundation
import KernelRuntime
import NVHardware
import Testing

/// A rig whose copy engines run microcode: what a driver does with a falcon, in a few lines.
final class FalconRig {
  let rig: Rig
  static let window: UInt32 = 0x10_4000
  static let context: UInt64 = 0x70_0000

  init(
    failures: FailurePlan = FailurePlan(), cost: GPUCostModel = GPUCostModel(),
    mode: Kernel.Mode = .simulated, trace: Trace = Trace()
  ) throws {
    rig = try Rig(cost: cost, failures: failures, mode: mode, trace: trace, chip: GF100Copy())
  }

  /// The image that the project ships.
  static func microcode() throws -> FirmwareContainer {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let file = try Data(contentsOf: folder.appending(path: "Firmware/nvidia/gf100/pcopy.bin"))
    return try FirmwareContainer(parsing: [UInt8](file), expectedChip: 0x0c0)
  }

  func read(_ register: FalconRegister, engine: UInt32 = 0) -> UInt32 {
    rig.read(Self.window + 0x1000 * engine + register.rawValue)
  }

  func write(_ value: UInt32, _ register: FalconRegister, engine: UInt32 = 0) {
    rig.write(Self.window + 0x1000 * engine + register.rawValue, value)
  }

  /// Uploads and starts microcode as nouveau does for falcons of version 3.
  func start(_ code: [UInt8], _ data: [UInt8], engine: UInt32 = 0) throws {
    write(0x0100_0000, .codeIndex, engine: engine)
    for (index, word) in Self.words(code).enumerated() {
      if index % 64 == 0 { write(UInt32(index / 64), .codeTag, engine: engine) }
      write(word, .codeData, engine: engine)
    }
    write(0x0100_0000, .dataIndex, engine: engine)
    for word in Self.words(data) { write(word, .dataData, engine: engine) }
    write(1, .blockOnFIFO, engine: engine)
    write(0, .entry, engine: engine)
    write(2, .control, engine: engine)
    write(3, .accessEnable, engine: engine)
    write(engine, .scratch3, engine: engine)
    try rig.settle()
  }

  private static func words(_ bytes: [UInt8]) -> [UInt32] {
    stride(from: 0, to: bytes.count, by: 4).map { at in
      (0..<4).reduce(0) { $0 | UInt32(at + $1 < bytes.count ? bytes[at + $1] : 0) << ($1 * 8) }
    }
  }

  /// Channels on an engine's runlist, each with its context, the class bound on subchannel 4.
  func channels(_ ids: [UInt32], engine: UInt32 = 0) throws -> [RigChannel] {
    let runlist = engine + 1
    let channels = try ids.map { id in
      let channel = try rig.channel(id, runlist: runlist)
      let pointer = Self.context + UInt64(id) * 0x1000
      rig.gpu.vram.store(
        UInt32(pointer) | Class90B5.CONTEXT_POINTER_VIRTUAL,
        at: Int(channel.instance) + Class90B5.contextPointer(engine))
      return channel
    }
    try rig.list(channels, runlist: runlist)
    for channel in channels {
      channel.push(4, 0, [engine == 0 ? Class90B5.classID : Class90B5.secondClassID])
      try channel.kick()
    }
    return channels
  }

  /// The shipped microcode, running, and a channel.
  func ready() throws -> RigChannel {
    let image = try Self.microcode()
    try start(image.code, image.data)
    return try #require(try channels([1]).first)
  }
}

extension RigChannel {
  /// A linear copy of lines by class 90B5.
  func falconCopy(
    _ from: UInt64, _ to: UInt64, lineBytes: UInt32, lines: UInt32 = 1, pitch: UInt32? = nil,
    exec: UInt32 = 0x110
  ) {
    push(
      4, Class90B5.SRC_ADDRESS_HIGH,
      [
        UInt32(from >> 32), UInt32(truncatingIfNeeded: from), UInt32(to >> 32),
        UInt32(truncatingIfNeeded: to), pitch ?? lineBytes, pitch ?? lineBytes, lineBytes, lines,
      ])
    push(4, Class90B5.EXEC, [exec])
  }
}
