import Base

/// The copy unit of a PCOPY engine: the I/O block at 0x800 that its falcon programs.
///
/// A write of CTRL with the trigger bit takes a picture of the registers; the bytes move when the
/// copy's time is over, and CTRL reads busy until then. What hardware is known to hang on, or what
/// no source describes, is a ``FalconEvent/copyEngine(_:)`` and leaves the unit busy until a reset.
public final class PCOPYEngineIO: FalconDevice {
  /// Core cycles that a copy takes beside its bytes' own time.
  public let latency: UInt64
  /// Bytes that the unit moves in a cycle.
  public let bytesPerCycle: Int

  private var registers: [UInt32]
  private var job: PCOPYJob?
  private var done: UInt64 = 0
  private var isHung = false
  private var interrupts: UInt32 = 0
  private var interruptEnable: UInt32 = 0

  /// Hears of each copy when it is done.
  public weak var observer: (any PCOPYObserver)?
  /// Copies that were carried out, and their bytes.
  public private(set) var completedCopies = 0
  public private(set) var completedBytes: UInt64 = 0

  private enum Interrupt {
    static let blocking: UInt32 = 1
    static let nonBlocking: UInt32 = 2
  }

  public init(latency: UInt64 = 100, bytesPerCycle: Int = 16) {
    self.latency = latency
    self.bytesPerCycle = max(1, bytesPerCycle)
    registers = Array(repeating: 0, count: Self.index(PCOPYRegister.copyRegisters.upperBound) + 1)
  }

  public let window: Range<UInt32> = 0x800..<0x980
  /// COPY_BLOCK is line 10, COPY_NONBLOCK line 11; both are levels.
  public var lines: UInt32 { (interrupts & interruptEnable & 3) << 10 }
  public var isBusy: Bool { job != nil || isHung }
  /// A copy behind a blocking interrupt that was not cleared has no end in sight.
  public var deadline: UInt64? {
    job == nil || isHung || isBlocked ? nil : done
  }

  private var isBlocked: Bool { interrupts & Interrupt.blocking != 0 }
  private static func index(_ offset: UInt32) -> Int { Int((offset - 0x800) / 4) }

  public func reset() {
    registers = registers.map { _ in 0 }
    job = nil
    isHung = false
    interrupts = 0
    interruptEnable = 0
  }

  public func read(_ offset: UInt32, index: UInt32, on core: FalconCore) -> UInt32? {
    switch PCOPYRegister(rawValue: offset) {
    case nil: return nil
    case .control: return registers[0] & ~1 | (isBusy ? 1 : 0)
    case .status: return isBlocked ? 1 << 9 : 0
    case .interruptEnable: return interruptEnable
    case .interrupt: return interrupts
    default: return registers[Self.index(offset)]
    }
  }

  public func write(
    _ value: UInt32, to offset: UInt32, index: UInt32, on core: FalconCore
  ) -> Bool {
    switch PCOPYRegister(rawValue: offset) {
    case nil: return false
    case .control: control(value, core)
    case .status: core.report(.readOnlyRegister(offset: offset))
    case .interruptEnable: interruptEnable = value & 3
    case .interrupt:
      // Cleared by writing ones, as the falcon's own lines are; no source says so for this
      // register.
      let wasBlocked = isBlocked
      interrupts &= ~value
      if wasBlocked, !isBlocked, let job { done = core.cycle &+ cost(job) }
    default: registers[Self.index(offset)] = value
    }
    return true
  }

  private func cost(_ job: PCOPYJob) -> UInt64 {
    latency &+ UInt64(job.bytes / bytesPerCycle)
  }

  private func control(_ value: UInt32, _ core: FalconCore) {
    let starts = PCOPYControl.trigger.get(value) == 1
    if isBusy, starts {
      core.report(.copyEngine(.triggeredWhileBusy))
      return
    }
    registers[0] = value
    let unknown = value & PCOPYControl.unknown
    if unknown != 0 { core.report(.copyEngine(.unknownControlBits(unknown))) }
    guard starts else { return }
    if PCOPYControl.startMode.get(value) == 3 {
      hang(.unknownStartMode, core)
      return
    }
    do {
      let job = try PCOPYJob { registers[Self.index($0.rawValue)] }
      self.job = job
      done = core.cycle &+ cost(job)
    } catch {
      hang(error.problem, core)
    }
  }

  private func hang(_ problem: PCOPYProblem, _ core: FalconCore) {
    core.report(.copyEngine(problem))
    isHung = true
  }

  public func advance(to cycle: UInt64, on core: FalconCore) {
    guard var job, let due = deadline, due <= cycle else { return }
    self.job = nil
    let needsSource = job.source.lineBytes > 0
    let source = needsSource ? core.memoryTarget(port: job.source.port) : nil
    guard let destination = core.memoryTarget(port: job.destination.port),
      source != nil || !needsSource
    else {
      isHung = true
      return
    }
    let start = (source: job.source.line, destination: job.destination.line)
    do {
      try job.carryOut(
        core.memory, source: source, destination: destination, time: core.host?.time ?? 0)
    } catch {
      core.report(.memoryFault(error))
      isHung = true
      return
    }
    observer?.pcopyDidCopy(
      PCOPYCopy(
        source: source, sourceAddress: start.source, destination: destination,
        destinationAddress: start.destination, lines: job.lines,
        lineBytes: job.destination.lineBytes, isSwizzled: job.swizzle != nil, cycle: due))
    completedCopies += 1
    completedBytes += UInt64(job.bytes)
    if job.raisesInterrupt {
      interrupts |= job.interruptBlocks ? Interrupt.blocking : Interrupt.nonBlocking
    }
  }
}
