// Interrupt, timer and processor registers.
extension FalconCore {
  func readInterruptsAndTimers(_ register: FalconRegister) -> UInt32? {
    switch register {
    case .interrupts: interrupts.pending
    case .interruptMode: interrupts.mode
    case .interruptEnable: interrupts.enabled
    case .interruptRouting: interrupts.routing
    case .periodicPeriod: timers.period
    case .periodicTime: timers.counters.periodic
    case .periodicEnable: timers.periodicOn ? 1 : 0
    case .timeLow: host.map { UInt32(truncatingIfNeeded: $0.time) }
    case .timeHigh: host.map { UInt32(truncatingIfNeeded: $0.time >> 32) }
    case .watchdogTime: timers.counters.watchdog
    case .watchdogEnable: timers.watchdogOn ? 1 : 0
    // Writing these does something; there is nothing to read.
    case .interruptSet, .interruptClear, .interruptEnableSet, .interruptEnableClear: 0
    default: nil
    }
  }

  func writeInterruptsAndTimers(_ value: UInt32, _ register: FalconRegister) -> Bool {
    switch register {
    case .interruptSet: interrupts.pulse(value)
    case .interruptClear: interrupts.clear(value)
    case .interruptMode: interrupts.mode = value & 0xffff
    case .interruptEnableSet: interrupts.enabled |= value & 0xffff
    case .interruptEnableClear: interrupts.enabled &= ~value
    case .interruptRouting: interrupts.routing = value
    case .periodicPeriod: timers.period = value
    case .periodicTime: timers.setPeriodic(time: value)
    case .periodicEnable: timers.setPeriodic(on: value & 1 == 1)
    case .watchdogTime: timers.setWatchdog(time: value)
    case .watchdogEnable: timers.setWatchdog(on: value & 1 == 1)
    case .interrupts, .interruptEnable, .timeLow, .timeHigh:
      report(.readOnlyRegister(offset: register.rawValue))
    default: return false
    }
    linesChanged()
    return true
  }

  func readProcessor(_ register: FalconRegister) -> UInt32? {
    switch register {
    case .control: (stop == nil ? 0 : 1 << 4) | (isSleeping ? 1 << 5 : 0)
    case .entry: entry
    case .caps: configuration.caps
    case .caps2: configuration.caps2
    case .blockOnFIFO: blockOnFIFO
    case .transferBase: transfers.base
    case .transferLocal: transfers.local
    case .transferControl: transfers.control
    case .transferOffset: transfers.offset
    case .transferStatus: transferStatus
    case .tlbCommand: tlbCommand
    case .tlbResult: tlbResult
    case .codeIndex: upload.codeIndex
    case .codeData: readCodePort()
    case .codeTag: upload.codeTag
    case .dataIndex: upload.dataIndex
    case .dataData: readDataPort()
    default: nil
    }
  }

  func writeProcessor(_ value: UInt32, _ register: FalconRegister) -> Bool {
    switch register {
    case .control: writeControl(value)
    case .entry: entry = value & store.pcMask
    case .blockOnFIFO: blockOnFIFO = value & 1
    case .transferBase: transfers.base = value
    case .transferLocal: transfers.local = value
    case .transferControl: requestTransfer(control: value)
    case .transferOffset: transfers.offset = value
    case .tlbCommand: writeTLBCommand(value)
    case .codeIndex: writeCodeIndex(value)
    case .codeData: writeCodePort(value)
    case .codeTag: upload.codeTag = value
    case .dataIndex: writeDataIndex(value)
    case .dataData: writeDataPort(value)
    case .caps, .caps2, .transferStatus, .tlbResult:
      report(.readOnlyRegister(offset: register.rawValue))
    default: return false
    }
    return true
  }

  /// UC_CTRL: bit 0 forgets the code page map, bit 1 starts the processor at ENTRY.
  private func writeControl(_ value: UInt32) {
    if value & ~3 != 0 {
      report(.unimplementedBits(offset: FalconRegister.control.rawValue, bits: value & ~3))
    }
    if value & 1 != 0 {
      pages.reset()
      codeChanged()
    }
    guard value & 2 != 0 else { return }
    guard stop != nil else {
      report(.startedWhileRunning)
      return
    }
    stop = nil
    sleeping = false
    store.pc = entry
    store.limit = 0
  }

  private func writeTLBCommand(_ value: UInt32) {
    tlbCommand = value
    let parameter = value & 0xff_ffff
    switch value >> 24 & 3 {
    case 1:
      pages.invalidate(parameter)
      codeChanged()
    case 2: tlbResult = pages.physicalLookup(parameter)
    case 3: tlbResult = pages.virtualLookup(parameter)
    default:
      report(.unimplementedBits(offset: FalconRegister.tlbCommand.rawValue, bits: value))
    }
  }
}
