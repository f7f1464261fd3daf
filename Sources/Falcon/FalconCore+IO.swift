// The I/O space as microcode and host see it, and which part of the falcon a register belongs to.
// SOURCE: envytools docs/hw/falcon/io.rst.
extension FalconCore {
  /// Reads the register at a host offset from the engine's base.
  public func hostRead(_ offset: UInt32) -> UInt32 {
    switch FalconRegister(rawValue: offset) {
    case .stackPointer: return store.stackPointer
    case .programCounter: return store.pc
    case .hostIndex: return hostIndex
    default: break
    }
    service()
    if let value = readRegister(offset, index: hostIndex) { return value }
    report(.unimplementedRegister(offset: offset, isWrite: false))
    return 0
  }

  /// Writes the register at a host offset from the engine's base.
  public func hostWrite(_ value: UInt32, to offset: UInt32) {
    switch FalconRegister(rawValue: offset) {
    case .stackPointer, .programCounter:
      report(.readOnlyRegister(offset: offset))
      return
    case .hostIndex:
      hostIndex = value & 0x3f
      return
    default: break
    }
    service()
    if !writeRegister(value, offset, index: hostIndex) {
      report(.unimplementedRegister(offset: offset, isWrite: true))
    }
  }

  private static let timerRegisters =
    FalconRegister.periodicPeriod.ioAddress...FalconRegister.watchdogEnable.ioAddress | 0xff

  /// A read by the microcode.
  func readIO(_ address: UInt32, pc: UInt32) -> UInt32 {
    // The timers' registers are kept as of the last service.
    if Self.timerRegisters.contains(address) { service() } else { serviceIfDue() }
    let offset = (address >> 8) << 2
    guard address & 3 == 0, offset < FalconRegister.firstHostOnly,
      let value = readRegister(offset, index: address >> 2 & 0x3f)
    else {
      report(.unimplementedIO(address: address, isWrite: false, pc: pc))
      return 0
    }
    trace?.falconDidAccessIO(
      address: address, value: value, isWrite: false, cycle: store.cycle)
    return value
  }

  /// A write by the microcode.
  func writeIO(_ value: UInt32, to address: UInt32, pc: UInt32) {
    if Self.timerRegisters.contains(address) { service() } else { serviceIfDue() }
    trace?.falconDidAccessIO(address: address, value: value, isWrite: true, cycle: store.cycle)
    let offset = (address >> 8) << 2
    guard address & 3 == 0, offset < FalconRegister.firstHostOnly,
      writeRegister(value, offset, index: address >> 2 & 0x3f)
    else {
      report(.unimplementedIO(address: address, isWrite: true, pc: pc))
      return
    }
  }

  private func readRegister(_ offset: UInt32, index: UInt32) -> UInt32? {
    if let register = FalconRegister(rawValue: offset) {
      return readInterruptsAndTimers(register) ?? readScheduling(register)
        ?? readProcessor(register)
    }
    if FalconRegister.memoryPorts.contains(offset) {
      return memoryPorts[Int(offset >> 2 & 7)]
    }
    guard let device = devices.first(where: { $0.window.contains(offset) }) else { return nil }
    return device.read(offset, index: index, on: self)
  }

  private func writeRegister(_ value: UInt32, _ offset: UInt32, index: UInt32) -> Bool {
    if let register = FalconRegister(rawValue: offset) {
      return writeInterruptsAndTimers(value, register) || writeScheduling(value, register)
        || writeProcessor(value, register)
    }
    if FalconRegister.memoryPorts.contains(offset) {
      // Type 2:0, request properties 5:4 and 9:8; the properties order requests that this model
      // carries out one after the other anyway.
      if value & ~0x337 != 0 {
        report(.unimplementedBits(offset: offset, bits: value & ~0x337))
      }
      memoryPorts[Int(offset >> 2 & 7)] = value & 0x337
      return true
    }
    guard let device = devices.first(where: { $0.window.contains(offset) }) else { return false }
    guard device.write(value, to: offset, index: index, on: self) else { return false }
    linesChanged()
    return true
  }
}
