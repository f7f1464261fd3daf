/// A copy engine on a bench: a falcon with a copy unit, memory, and one channel.
///
/// It runs any microcode for the real engine and tells, method by method, what the engine did.
public final class PCOPYBench {
  /// The channel's instance block >> 12; the block points to a context in the channel's addresses.
  public static let channel: UInt32 = 0x20
  /// Where the channel's context lies.
  public static let contextAddress: UInt64 = 0xff_ffff_0000

  /// What one method led to.
  public struct Report: Hashable, Sendable {
    /// Nil for the start of the microcode and for the channel switch.
    public var method: FalconMethod?
    /// Whether the microcode took the method off the FIFO, or finished the switch.
    public var isDone = false
    /// Cycles until then; copies may run on.
    public var cycles: UInt64 = 0
    public var instructions: UInt64 = 0
    /// Copies that ended before the next method.
    public var copies: [PCOPYCopy] = []
    /// The refusal that the microcode reported: SCRATCH0, and SCRATCH1 beside it.
    public var refusal: Refusal?
    /// What the engine met that nobody defines.
    public var events: [FalconEvent] = []
    /// Why the processor stands still.
    public var stop: FalconStop?

    /// All went as the class describes.
    public var isGood: Bool { isDone && refusal == nil && events.isEmpty && stop == nil }
  }

  /// A dispatch error.
  public struct Refusal: Hashable, Sendable {
    public let scratch0: UInt32
    public let data: UInt32
    /// 1 no such method, 2 a value without meaning, 3 bits that must be clear.
    public var code: UInt32 { scratch0 & 0xffff }
  }

  /// Cycles that a method may take before the bench gives up.
  public let budget: UInt64
  private let memory = PCOPYBenchMemory()
  private let unit = PCOPYEngineIO()
  private let core: FalconCore
  private var report = Report()
  private var begin: (cycle: UInt64, instructions: UInt64) = (0, 0)

  /// - Parameters:
  ///   - instance: which of the chip's two engines it is.
  public init(instance: UInt32 = 0, budget: UInt64 = 10_000_000) {
    self.budget = budget
    core = FalconCore(memory: memory, devices: [unit])
    self.instance = instance & 1
    core.host = self
    unit.observer = self
    let pointer = (0..<8).map { UInt8(truncatingIfNeeded: (Self.contextAddress | 4) >> ($0 * 8)) }
    memory.store(
      pointer, .videoMemory,
      at: UInt64(Self.channel) << 12 + 0x230 + UInt64(self.instance) * 0x10)
  }

  private let instance: UInt32

  /// Gets every instruction and I/O access.
  public var trace: (any FalconTraceSink)? {
    get { core.trace }
    set { core.trace = newValue }
  }

  /// Whether code and data fit the engine.
  public static func room(code: Int, data: Int) -> Bool {
    code <= FalconConfiguration.pcopy.codeBytes && data <= FalconConfiguration.pcopy.dataBytes
  }

  // MARK: memory

  /// Writes to the channel's address space.
  public func fill(_ address: UInt64, _ bytes: [UInt8]) {
    memory.store(bytes, .channel(Self.channel), at: address)
  }

  /// Reads the channel's address space.
  public func bytes(_ address: UInt64, count: Int) -> [UInt8] {
    memory.bytes(.channel(Self.channel), at: address, count: count)
  }

  // MARK: running

  /// Uploads and starts microcode and lets it come to rest.
  public func start(code: [UInt8], data: [UInt8], entry: UInt32 = 0) -> Report {
    beginReport(nil)
    core.upload(code: code, data: data)
    core.start(entry: entry)
    core.hostWrite(instance, to: FalconRegister.scratch3.rawValue)
    settle()
    if core.isSleeping { noteDone() }
    return endReport()
  }

  /// Switches to the bench's channel.
  public func switchChannel() -> Report {
    beginReport(nil)
    core.requestChannelSwitch(to: Self.channel)
    settle()
    return endReport()
  }

  /// Hands a method to the microcode and waits until it and its copies are done.
  public func run(_ method: FalconMethod) -> Report {
    beginReport(method)
    if core.push(method) { settle() }
    return endReport()
  }

  private func beginReport(_ method: FalconMethod?) {
    report = Report(method: method)
    begin = (core.cycle, core.instructionsRetired)
  }

  private func noteDone() {
    guard !report.isDone else { return }
    report.isDone = true
    report.cycles = core.cycle - begin.cycle
    report.instructions = core.instructionsRetired - begin.instructions
  }

  private func endReport() -> Report {
    if !report.isDone {
      report.cycles = core.cycle - begin.cycle
      report.instructions = core.instructionsRetired - begin.instructions
    }
    report.events = core.takeEvents()
    report.stop = core.stopReason
    return report
  }

  /// Runs until everything is at rest, acknowledging what the microcode reports as a driver does.
  private func settle() {
    let end = core.cycle &+ budget
    while core.cycle < end {
      let state = core.run(cycles: min(1_000, end - core.cycle))
      if acknowledge() { continue }
      if state != .budgetSpent { return }
    }
  }

  private func acknowledge() -> Bool {
    guard core.hostInterrupt else { return false }
    let pending = core.hostRead(FalconRegister.interrupts.rawValue)
    guard pending & FalconLine.software0 != 0 else { return false }
    report.refusal = Refusal(
      scratch0: core.hostRead(FalconRegister.scratch0.rawValue),
      data: core.hostRead(FalconRegister.scratch1.rawValue))
    core.hostWrite(FalconLine.software0, to: FalconRegister.interruptClear.rawValue)
    return true
  }
}

extension PCOPYBench: FalconHost, PCOPYObserver {
  /// A bench's clock is its cycle counter.
  public var time: UInt64 { core.cycle }
  public func falconInterruptChanged(host: Bool, nonStalling: Bool) {}
  public func falconMethodRetired(_ method: FalconMethod) { noteDone() }
  public func falconChannelSwitched(to channel: UInt32?) { noteDone() }
  public func pcopyDidCopy(_ copy: PCOPYCopy) { report.copies.append(copy) }
}
