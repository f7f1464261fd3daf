// The scheduler's side: method FIFO, channel switch, scratch and status registers.
extension FalconCore {
  /// Offers a method. False when the FIFO is full or the microcode has not opened it; the caller
  /// offers it again later.
  public func push(_ method: FalconMethod) -> Bool {
    let capacity = min(Int(fifoLimit), configuration.methodFIFODepth)
    guard accessEnable & 2 != 0, methods.count < capacity else { return false }
    methods.append(method)
    linesChanged()
    return true
  }

  /// Methods that wait in the FIFO.
  public var pendingMethods: Int { methods.count }

  /// Asks for another channel (an instance block's address >> 12), or for none.
  ///
  /// The microcode is told once it has opened channel switching; ``FalconHost`` hears of the end.
  public func requestChannelSwitch(to channel: UInt32?) {
    channels.next = FalconChannelState.word(channel)
    if FalconChannelState.channel(channels.current) != nil {
      channels.phase = .unloading
    } else if channel != nil {
      channels.phase = .loading
    } else {
      channels.phase = .idle
      channels.raiseAt = nil
      host?.falconChannelSwitched(to: nil)
      return
    }
    if accessEnable & 1 != 0 { raiseChannelSwitch() }
  }

  /// The loaded channel, or nil.
  public var currentChannel: UInt32? { FalconChannelState.channel(channels.current) }
  /// Whether a channel switch is under way.
  public var isSwitchingChannel: Bool { channels.phase != .idle }

  private func raiseChannelSwitch() {
    channels.raiseAt = store.cycle
    service()
    store.limit = 0
  }

  func readScheduling(_ register: FalconRegister) -> UInt32? {
    switch register {
    case .scratch0: return scratch[0]
    case .scratch1: return scratch[1]
    case .scratch2: return scratch[2]
    case .scratch3: return scratch[3]
    case .accessEnable: return accessEnable
    case .status: return status
    case .channelCurrent: return channels.current
    case .channelNext: return channels.next
    case .fifoData: return firstMethod(register)?.data ?? 0
    case .fifoCommand: return firstMethod(register).map { $0.number | $0.subchannel << 11 } ?? 0
    case .fifoOccupied: return UInt32(methods.count)
    case .fifoLimit: return fifoLimit
    // Writing these does something; there is nothing to read.
    case .channelCommand, .fifoAcknowledge, .subengineReset, .trigger: return 0
    default: return nil
    }
  }

  func writeScheduling(_ value: UInt32, _ register: FalconRegister) -> Bool {
    switch register {
    case .scratch0: scratch[0] = value
    case .scratch1: scratch[1] = value
    case .scratch2: scratch[2] = value
    case .scratch3: scratch[3] = value
    case .accessEnable: setAccess(value)
    case .channelCurrent: channels.current = value & 0x7fff_ffff
    case .channelNext: channels.next = value & 0x7fff_ffff
    case .channelCommand: channelCommand(value)
    case .fifoAcknowledge: if value & 1 == 1 { retireMethod() }
    case .fifoLimit: fifoLimit = value
    case .subengineReset: if value & 1 == 1 { resetSubengines() }
    case .trigger: trigger(value)
    case .status, .fifoData, .fifoCommand, .fifoOccupied:
      report(.readOnlyRegister(offset: register.rawValue))
    default: return false
    }
    return true
  }

  /// STATUS: bit 0 the processor runs, bit 1 the memory interface or the engine works.
  private var status: UInt32 {
    let engine = !transfers.waiting.isEmpty || devices.contains { $0.isBusy }
    return (stop == nil && !sleeping ? 1 : 0) | (engine ? 2 : 0)
  }

  private func firstMethod(_ register: FalconRegister) -> FalconMethod? {
    if methods.isEmpty { report(.emptyFIFO(offset: register.rawValue)) }
    return methods.first
  }

  private func retireMethod() {
    guard let method = firstMethod(.fifoAcknowledge) else { return }
    methods.removeFirst()
    linesChanged()
    host?.falconMethodRetired(method)
  }

  /// ACCESS_EN: bit 0 lets channel switches in, bit 1 methods.
  private func setAccess(_ value: UInt32) {
    if value & ~3 != 0 {
      report(.unimplementedBits(offset: FalconRegister.accessEnable.rawValue, bits: value & ~3))
    }
    let opened = value & 1 != 0 && accessEnable & 1 == 0
    accessEnable = value & 3
    if opened, channels.phase != .idle { channels.raiseAt = store.cycle }
    linesChanged()
  }

  private func channelCommand(_ value: UInt32) {
    switch (value, channels.phase) {
    case (1, .unloading):
      channels.phase = .idle
      if FalconChannelState.channel(channels.next) == nil {
        host?.falconChannelSwitched(to: nil)
      } else {
        channels.phase = .loading
        channels.raiseAt = store.cycle &+ configuration.channelSwitchLatency
      }
    case (2, .loading):
      channels.phase = .idle
      channels.current = channels.next
      host?.falconChannelSwitched(to: FalconChannelState.channel(channels.current))
    default: report(.unexpectedChannelCommand(value))
    }
    store.limit = 0
  }

  private func resetSubengines() {
    for device in devices { device.reset() }
    memoryPorts = Array(repeating: 0, count: 8)
    linesChanged()
  }

  private func trigger(_ value: UInt32) {
    if value & 1 << 16 != 0 { writeCacheFlushes += 1 }
    if value & 1 << 17 != 0 { performanceTriggers += 1 }
    if value & ~(3 << 16) != 0 {
      report(.unimplementedBits(offset: FalconRegister.trigger.rawValue, bits: value & ~(3 << 16)))
    }
  }
}
