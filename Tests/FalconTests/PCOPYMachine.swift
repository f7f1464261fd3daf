import Falcon

/// Memory of a test: flat bytes for each address space, faults outside.
final class FlatMemory: FalconMemory {
  static let bytes = 1 << 20
  /// Addresses start here, so that high address bits are met too.
  var base: UInt64 = 0
  private(set) var videoMemory = [UInt8](repeating: 0, count: FlatMemory.bytes)
  private(set) var channels: [UInt32: [UInt8]] = [:]

  func addChannel(_ number: UInt32) { channels[number] = [UInt8](repeating: 0, count: Self.bytes) }

  private func offset(
    _ target: FalconMemoryTarget, _ address: UInt64, _ count: Int, _ isWrite: Bool
  ) throws(FalconMemoryFault) -> Int {
    let start = target == .videoMemory ? 0 : base
    let known: Bool
    switch target {
    case .channel(let number): known = channels[number] != nil
    case .videoMemory: known = true
    case .systemMemory: known = false
    }
    guard known, address >= start, address - start <= UInt64(Self.bytes - count) else {
      throw FalconMemoryFault(target: target, address: address, isWrite: isWrite)
    }
    return Int(address - start)
  }

  func read(
    _ target: FalconMemoryTarget, at address: UInt64, count: Int
  ) throws(FalconMemoryFault) -> [UInt8] {
    let at = try offset(target, address, count, false)
    if case .channel(let number) = target {
      return Array(channels[number, default: []][at..<at + count])
    }
    return Array(videoMemory[at..<at + count])
  }

  func write(
    _ bytes: [UInt8], to target: FalconMemoryTarget, at address: UInt64
  ) throws(FalconMemoryFault) {
    let at = try offset(target, address, bytes.count, true)
    if case .channel(let number) = target {
      channels[number]?.replaceSubrange(at..<at + bytes.count, with: bytes)
    } else {
      videoMemory.replaceSubrange(at..<at + bytes.count, with: bytes)
    }
  }
}

/// A falcon with a copy unit, memory and the little of a chip that its microcode meets.
final class PCOPYMachine: FalconHost {
  static let channel: UInt32 = 0x20
  static let contextAddress: UInt64 = 0x8000

  let memory = FlatMemory()
  let engine = PCOPYEngineIO()
  let core: FalconCore
  var time: UInt64 = 0x0123_4567_89ab_cdef
  private(set) var interrupted = false
  private(set) var retired: [FalconMethod] = []
  private(set) var switches: [UInt32?] = []

  init(code: [UInt8], data: [UInt8], instance: UInt32 = 0, base: UInt64 = 0) {
    core = FalconCore(memory: memory, devices: [engine])
    core.host = self
    memory.base = base
    core.upload(code: code, data: data)
    core.start()
    core.hostWrite(instance, to: FalconRegister.scratch3.rawValue)
    core.run(cycles: 200)
  }

  func falconInterruptChanged(host: Bool, nonStalling: Bool) { interrupted = host }
  func falconMethodRetired(_ method: FalconMethod) { retired.append(method) }
  func falconChannelSwitched(to channel: UInt32?) { switches.append(channel) }

  /// Makes a channel whose instance block points to a context in its own address space.
  func addChannel(_ number: UInt32 = PCOPYMachine.channel, instance: UInt32 = 0) {
    memory.addChannel(number)
    let pointer = memory.base + Self.contextAddress
    let entry = (0..<8).map { UInt8(truncatingIfNeeded: (pointer | 4) >> UInt64($0 * 8)) }
    let at = UInt64(number) << 12 + 0x230 + UInt64(instance) * 0x10
    try? memory.write(entry, to: .videoMemory, at: at)
  }

  @discardableResult
  func settle(_ cycles: UInt64 = 2_000_000) -> FalconRunState { core.run(cycles: cycles) }

  func switchTo(_ channel: UInt32?) {
    core.requestChannelSwitch(to: channel)
    settle(20000)
  }

  /// Sends methods by byte offset, letting the microcode take them as the FIFO fills.
  func send(_ methods: [(offset: UInt32, data: UInt32)]) {
    for (offset, data) in methods {
      while !core.push(FalconMethod(offset: offset, data: data)) {
        guard core.run(cycles: 100) != .stopped(.reset) else { return }
      }
    }
    settle()
  }

  func fill(_ address: UInt64, _ bytes: [UInt8], channel: UInt32 = PCOPYMachine.channel) {
    try? memory.write(bytes, to: .channel(channel), at: memory.base + address)
  }

  func bytes(_ address: UInt64, _ count: Int, channel: UInt32 = PCOPYMachine.channel) -> [UInt8] {
    (try? memory.read(.channel(channel), at: memory.base + address, count: count)) ?? []
  }
}
