import Base

/// A falcon microcontroller of version 3 with its memories, I/O registers and attached devices.
///
/// The falcon knows no GPU: memory, clock, scheduler and engine are reached through the protocols
/// of `FalconPorts.swift`. Nothing happens by itself; ``run(cycles:)`` lets time pass. Not
/// thread-safe: one owner calls it.
public final class FalconCore {
  public let configuration: FalconConfiguration
  let store: FalconStore
  let memory: any FalconMemory
  let devices: [any FalconDevice]
  /// The chip around the falcon.
  public weak var host: (any FalconHost)?
  /// Gets every instruction, I/O access and interrupt; slows the interpreter down.
  public weak var trace: (any FalconTraceSink)?

  var interrupts = FalconInterrupts()
  var timers = FalconTimers()
  var pages: FalconCodePages
  var transfers = FalconTransferQueue()
  var channels = FalconChannelState()
  var methods: [FalconMethod] = []
  var special = FalconSpecialRegisters()
  var upload = FalconUploadPorts()
  var scratch: [UInt32] = [0, 0, 0, 0]
  var memoryPorts: [UInt32] = Array(repeating: 0, count: 8)
  var accessEnable: UInt32 = 0
  var fifoLimit: UInt32
  var entry: UInt32 = 0
  var blockOnFIFO: UInt32 = 0
  var tlbCommand: UInt32 = 0
  var tlbResult: UInt32 = 0
  var hostIndex: UInt32 = 0
  var stop: FalconStop? = .reset
  var sleeping = false
  var codeIsStale = false
  /// The cycle from which `service()` has something to do.
  var dueAt: UInt64 = 0
  private var hostLines = (host: false, nonStalling: false)

  /// What the falcon met that nobody defines, oldest first, at most ``eventCapacity``.
  public private(set) var events: [FalconEvent] = []
  /// Events that were not kept because ``events`` was full.
  public private(set) var droppedEvents = 0
  public static let eventCapacity = 1024

  /// Write-cache flushes that the microcode asked for.
  public internal(set) var writeCacheFlushes = 0
  /// Performance-monitor triggers that the microcode asked for.
  public internal(set) var performanceTriggers = 0

  public init(
    configuration: FalconConfiguration = .pcopy, memory: any FalconMemory,
    devices: [any FalconDevice] = []
  ) {
    self.configuration = configuration
    self.memory = memory
    self.devices = devices
    store = FalconStore(configuration)
    pages = FalconCodePages(configuration)
    fifoLimit = UInt32(configuration.methodFIFODepth)
  }

  /// Core cycles that have passed.
  public var cycle: UInt64 { store.cycle }
  /// Instructions that ran since the object was made.
  public var instructionsRetired: UInt64 { store.retired }
  /// Why the processor stands still, or nil while it runs or sleeps.
  public var stopReason: FalconStop? { stop }
  /// Whether the processor waits in a `sleep` instruction.
  public var isSleeping: Bool { stop == nil && sleeping }
  /// The address of the instruction that runs next.
  public var programCounter: UInt32 { store.pc }
  /// The flags register.
  public var flags: UInt32 { store.flags }
  /// The general registers r0 to r15.
  public var generalRegisters: [UInt32] { (0..<16).map { store[UInt8($0)] } }
  /// Whether the engine holds the chip's stalling interrupt input.
  public var hostInterrupt: Bool { interrupts.pending(to: .host) != 0 }

  /// Records an event.
  public func report(_ event: FalconEvent) {
    if events.count < Self.eventCapacity { events.append(event) } else { droppedEvents += 1 }
  }

  /// Hands the events over and forgets them.
  public func takeEvents() -> [FalconEvent] {
    let taken = events
    events = []
    droppedEvents = 0
    return taken
  }

  /// What PMC's enable bit does when it is cleared and set: every register returns to its reset
  /// value, no code page is mapped, the processor is stopped. Code and data memory keep their
  /// bytes.
  public func reset() {
    interrupts = FalconInterrupts()
    timers = FalconTimers()
    pages.reset()
    transfers = FalconTransferQueue()
    channels = FalconChannelState()
    methods = []
    special = FalconSpecialRegisters()
    upload = FalconUploadPorts()
    scratch = [0, 0, 0, 0]
    memoryPorts = Array(repeating: 0, count: 8)
    accessEnable = 0
    fifoLimit = UInt32(configuration.methodFIFODepth)
    entry = 0
    blockOnFIFO = 0
    hostIndex = 0
    for slot in 0..<18 { store[UInt8(slot)] = 0 }
    store.pc = 0
    codeChanged()
    stop = .reset
    sleeping = false
    for device in devices { device.reset() }
    _ = timers.advance(to: store.cycle)
    linesChanged()
  }

  /// Recomputes the wires after anything that drives one has changed, tells the chip, and lets the
  /// interpreter look for an interrupt to take.
  func linesChanged() {
    var wires: UInt32 = 0
    if !methods.isEmpty && accessEnable & 2 != 0 { wires |= FalconLine.fifo }
    if timers.watchdogExpired { wires |= FalconLine.watchdog }
    for device in devices { wires |= device.lines }
    interrupts.setWires(wires)
    let now = (
      host: interrupts.pending(to: .host) != 0,
      nonStalling: interrupts.pending(to: .nonStalling) != 0
    )
    if now != hostLines {
      hostLines = now
      host?.falconInterruptChanged(host: now.host, nonStalling: now.nonStalling)
    }
    store.limit = 0
  }

  /// Stops the processor and raises the EXIT line.
  func halt(_ reason: FalconStop) {
    stop = reason
    sleeping = false
    interrupts.pulse(FalconLine.exit)
    linesChanged()
  }
}
