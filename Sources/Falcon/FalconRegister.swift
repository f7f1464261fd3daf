/// The registers every falcon has, by host offset from the engine's base.
///
/// The microcode reaches the register at offset X through I/O address X << 6; bits 7:2 of an I/O
/// address are an index that plain registers ignore.
/// SOURCE: envytools docs/hw/falcon/io.rst and rnndb/falcon.xml.
public enum FalconRegister: UInt32, Sendable {
  case interruptSet = 0x000
  case interruptClear = 0x004
  case interrupts = 0x008
  case interruptMode = 0x00c
  case interruptEnableSet = 0x010
  case interruptEnableClear = 0x014
  case interruptEnable = 0x018
  case interruptRouting = 0x01c
  case periodicPeriod = 0x020
  case periodicTime = 0x024
  case periodicEnable = 0x028
  case timeLow = 0x02c
  case timeHigh = 0x030
  case watchdogTime = 0x034
  case watchdogEnable = 0x038
  case scratch0 = 0x040
  case scratch1 = 0x044
  case accessEnable = 0x048
  case status = 0x04c
  case channelCurrent = 0x050
  case channelNext = 0x054
  case channelCommand = 0x058
  case fifoData = 0x064
  case fifoCommand = 0x068
  case fifoOccupied = 0x070
  case fifoAcknowledge = 0x074
  case fifoLimit = 0x078
  case subengineReset = 0x07c
  case scratch2 = 0x080
  case scratch3 = 0x084
  case trigger = 0x088
  case control = 0x100
  case entry = 0x104
  case caps = 0x108
  case blockOnFIFO = 0x10c
  case transferBase = 0x110
  case transferLocal = 0x114
  case transferControl = 0x118
  case transferOffset = 0x11c
  case transferStatus = 0x120
  case caps2 = 0x12c
  case tlbCommand = 0x140
  case tlbResult = 0x144
  case codeIndex = 0x180
  case codeData = 0x184
  case codeTag = 0x188
  case dataIndex = 0x1c0
  case dataData = 0x1c4
  // Visible to the host only.
  case stackPointer = 0xfec
  case programCounter = 0xff0
  case hostIndex = 0xffc

  /// The I/O address at which the microcode sees the register.
  public var ioAddress: UInt32 { rawValue << 6 }

  /// The first host offset that the microcode can't reach.
  static let firstHostOnly: UInt32 = 0xf00
  /// The configuration of the eight memory ports.
  static let memoryPorts: Range<UInt32> = 0x600..<0x620
}

/// The interrupt lines with a fixed meaning.
public enum FalconLine {
  public static let periodic: UInt32 = 1 << 0
  public static let watchdog: UInt32 = 1 << 1
  public static let fifo: UInt32 = 1 << 2
  public static let channelSwitch: UInt32 = 1 << 3
  public static let exit: UInt32 = 1 << 4
  public static let software0: UInt32 = 1 << 6
  public static let software1: UInt32 = 1 << 7
  public static let portInvalid: UInt32 = 1 << 8
}
