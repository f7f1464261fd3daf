import Base
import EmulatedGPU
import Foundation
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// One random operation on a few pages.
private enum Operation: CustomStringConvertible {
  case cpuStore(page: Int, offset: Int, [UInt8])
  case cpuLoad(page: Int, offset: Int, count: Int)
  case deviceStore(page: Int, offset: Int, [UInt8])
  case deviceLoad(page: Int, offset: Int, count: Int)
  case toDevice(Range<Int>)
  case toRAM(Range<Int>)
  case protect(Range<Int>, writable: Bool)
  case discard(Range<Int>)
  case pin(page: Int)
  case unpin
  case arm(InjectionPoint, KernelError?)
  case suspendAndResume
  case rebind

  var description: String {
    switch self {
    case .cpuStore(let page, let offset, let bytes): "cpu store P\(page)+\(offset) \(bytes.count)"
    case .cpuLoad(let page, let offset, let count): "cpu load P\(page)+\(offset) \(count)"
    case .deviceStore(let page, let offset, let bytes):
      "gpu store P\(page)+\(offset) \(bytes.count)"
    case .deviceLoad(let page, let offset, let count): "gpu load P\(page)+\(offset) \(count)"
    case .toDevice(let pages): "to device P\(pages)"
    case .toRAM(let pages): "to ram P\(pages)"
    case .protect(let pages, let writable): "protect P\(pages) \(writable ? "rw" : "r")"
    case .discard(let pages): "unmap and map P\(pages)"
    case .pin(let page): "pin P\(page)"
    case .unpin: "unpin"
    case .arm(let point, let error): "fail \(point.name) once (\(error?.name ?? "device"))"
    case .suspendAndResume: "suspend, resume"
    case .rebind: "unbind and bind the driver"
    }
  }
}

/// Random sequences over the whole machine against a plain array of bytes.
@Suite struct PropertyTests {
  static let pages = 12
  /// 1,000 sequences in all, in groups so that the machine's cores share them.
  static let groups = 20
  static let sequencesPerGroup = 50

  /// To see one sequence again: set `NOUVEAU_PROPERTY_SEED` to its seed and run this suite.
  @Test(arguments: 0..<groups)
  func randomSequences_agreeWithTheOracle(group: Int) throws {
    if let text = ProcessInfo.processInfo.environment["NOUVEAU_PROPERTY_SEED"] {
      guard group == 0, let seed = UInt64(text) else { return }
      #expect(try Self.run(seed: seed) == nil)
      return
    }
    for index in 0..<Self.sequencesPerGroup {
      let seed = UInt64(group * Self.sequencesPerGroup + index + 1)
      let failure = try Self.run(seed: seed)
      #expect(failure == nil, "NOUVEAU_PROPERTY_SEED=\(seed) repeats this sequence")
      if failure != nil { return }
    }
  }

  /// The oracle must be able to lose: a store that bypasses it is found.
  @Test func oracle_noticesAByteThatItWasNotTold() throws {
    var model = Model(pages: 1)
    let machine = try Machine(Self.configuration(seed: 1))
    var found: String?
    try machine.run { machine in
      do {
        try await machine.boot()
        let process = try await machine.makeProcess("p")
        let bytes = UInt64(PageSize.bytes)
        let start = try await process.space.map(bytes: bytes, .readWrite)
        try await process.space.store(start, [1])
        found = await Self.apply(
          .cpuLoad(page: 0, offset: 0, count: 1), machine, process, start, &model)
      } catch {
        found = nil
      }
      await machine.shutdown()
    }
    #expect(found != nil)
  }

  fileprivate struct Model {
    var bytes: [[UInt8]]
    var writable: [Bool]
    var pins: [PinnedPages] = []

    init(pages: Int) {
      bytes = [[UInt8]](
        repeating: [UInt8](repeating: 0, count: PageSize.bytes), count: pages)
      writable = [Bool](repeating: true, count: pages)
    }
  }

  static func configuration(seed: UInt64) -> MachineConfiguration {
    var configuration = MachineConfiguration()
    configuration.ramBytes = 4 << 20
    configuration.gpu.vramBytes = 16 << 20
    configuration.driver.channels = 4
    configuration.policy.batchPages = 1 + Int(seed % 9)
    configuration.policy.batchesInFlight = 1 + Int(seed % 2)
    configuration.stepLimit = 2_000_000
    if seed % 3 != 0 { configuration.choices = RandomWalkChoices(seed: seed) }
    return configuration
  }

  /// Runs one sequence; nil when everything agreed, else what didn't and the operations so far.
  private static func run(seed: UInt64) throws -> String? {
    var generator = SplitMix64(seed: seed)
    let machine = try Machine(configuration(seed: seed))
    var failure: String?
    var done: [Operation] = []
    let history = { "; after: \(done.map(\.description).joined(separator: "; "))" }
    do throws(RunFailure) {
      try run(machine, &generator, &done, &failure)
    } catch {
      return "\(error)\(history())"
    }
    if failure == nil, let offence = machine.audit().first { failure = offence }
    try machine.run { await $0.shutdown() }
    if failure == nil, let offence = machine.audit().first {
      failure = "after shutdown: \(offence)"
    }
    return failure.map { $0 + history() }
  }

  /// The operations of one sequence, up to the first disagreement.
  private static func run(
    _ machine: Machine, _ generator: inout SplitMix64, _ done: inout [Operation],
    _ failure: inout String?
  ) throws(RunFailure) {
    let state = SequenceState(generator)
    defer { (generator, done, failure) = (state.generator, state.done, state.failure) }
    try machine.run { machine in
      do {
        try await machine.boot()
        let process = try await machine.makeProcess("p")
        let bytes = UInt64(pages * PageSize.bytes)
        let start = try await process.space.map(bytes: bytes, .readWrite)
        var model = Model(pages: pages)
        for _ in 0..<30 where state.failure == nil {
          let operation = draw(&state.generator)
          state.done.append(operation)
          state.failure = await apply(operation, machine, process, start, &model)
        }
        machine.kernel.failures.disarm()
        for pin in model.pins { process.space.unpin(pin) }
        if state.failure == nil { state.failure = await compare(process, start, &model) }
      } catch {
        state.failure = "set-up: \(error)"
      }
    }
  }

  /// What a sequence changes as it runs; an object, since the run's body escapes.
  private final class SequenceState {
    var generator: SplitMix64
    var done: [Operation] = []
    var failure: String?

    init(_ generator: SplitMix64) { self.generator = generator }
  }

  private static func draw(_ generator: inout SplitMix64) -> Operation {
    let page = generator.below(pages)
    let first = generator.below(pages)
    let range = first..<(first + 1 + generator.below(pages - first))
    let offset = generator.below(PageSize.bytes - 16)
    let count = 1 + generator.below(16)
    switch generator.below(20) {
    case 0...3:
      let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
      return .cpuStore(page: page, offset: offset, bytes)
    case 4, 5: return .cpuLoad(page: page, offset: offset, count: count)
    case 6...8:
      let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
      return .deviceStore(page: page, offset: offset, bytes)
    case 9: return .deviceLoad(page: page, offset: offset, count: count)
    case 10...12: return .toDevice(range)
    case 13: return .toRAM(range)
    case 14: return .protect(range, writable: generator.chance(2, in: 3))
    case 15: return .discard(range)
    case 16: return generator.chance(1, in: 2) ? .pin(page: page) : .unpin
    case 17, 18:
      let points: [InjectionPoint] = [
        .pageAlloc, .pageTableAlloc, .pageLock, .migrateCollect, .migrateCommit, .dmaMap,
        .memremap, .memRegion, .vramAlloc, .bufferPin, .ringSpace, .fenceAlloc, .fenceEmit,
        .copySubmit, .gpuPageTable, .hmmRetry, .fenceStall, .fenceLate, .copyError, .copyFault,
        .interruptEarly, .interruptLost, .interruptStorm, .pbdmaError,
      ]
      let point = points[generator.below(points.count)]
      return .arm(point, point.errors.first)
    default: return generator.chance(1, in: 2) ? .suspendAndResume : .rebind
    }
  }

  /// Carries one operation out on the machine and the model; what disagreed, or nil.
  fileprivate static func apply(
    _ operation: Operation, _ machine: Machine, _ process: UserProcess, _ start: VirtualAddress,
    _ model: inout Model
  ) async -> String? {
    func address(_ page: Int, _ offset: Int = 0) -> VirtualAddress {
      start + (page * PageSize.bytes + offset)
    }
    func range(_ pages: Range<Int>) -> VirtualRange {
      VirtualRange(start: address(pages.lowerBound), pages: pages.count)
    }
    switch operation {
    case .cpuStore(let page, let offset, let bytes):
      do throws(AccessError) {
        try await process.space.store(address(page, offset), bytes)
        if !model.writable[page] { return "a store to read-only P\(page) succeeded" }
        model.bytes[page].replaceSubrange(offset..<(offset + bytes.count), with: bytes)
      } catch {
        if case .segv = error, model.writable[page] { return "store: \(error)" }
      }
    case .cpuLoad(let page, let offset, let count):
      // An access may get an error, but never other bytes.
      if let bytes = try? await process.space.load(address(page, offset), count: count),
        bytes != Array(model.bytes[page][offset..<(offset + count)])
      {
        return "the CPU reads other bytes in P\(page)"
      }
    case .deviceStore(let page, let offset, let bytes):
      if (try? await process.deviceStore(address(page, offset), bytes)) != nil {
        if !model.writable[page] { return "a GPU store to read-only P\(page) succeeded" }
        model.bytes[page].replaceSubrange(offset..<(offset + bytes.count), with: bytes)
      }
    case .deviceLoad(let page, let offset, let count):
      if let bytes = try? await process.deviceLoad(address(page, offset), count: count),
        bytes != Array(model.bytes[page][offset..<(offset + count)])
      {
        return "the GPU reads other bytes in P\(page)"
      }
    case .toDevice(let pages): _ = try? await process.migrateToDevice(range(pages))
    case .toRAM(let pages): _ = try? await process.migrateToRAM(range(pages))
    case .protect(let pages, let writable):
      if (try? await process.space.protect(range(pages), writable ? .readWrite : .read)) != nil {
        for page in pages { model.writable[page] = writable }
      }
    case .discard(let pages): return await discard(range(pages), pages, process, &model)
    case .pin(let page):
      if let pin = try? await process.space.pin(address(page), pages: 1, write: false) {
        model.pins.append(pin)
      }
    case .unpin: if let pin = model.pins.popLast() { process.space.unpin(pin) }
    case .arm(let point, let error):
      machine.kernel.failures.disarm()
      machine.kernel.failures.arm(point, .nth(1), error: error)
    case .suspendAndResume:
      try? await machine.driver?.suspend()
      machine.kernel.failures.disarm()
      try? await machine.driver?.resume()
    case .rebind: return await rebind(machine, process)
    }
    return nil
  }

  private static func discard(
    _ range: VirtualRange, _ pages: Range<Int>, _ process: UserProcess, _ model: inout Model
  ) async -> String? {
    do throws(KernelError) {
      try await process.space.unmap(range)
      _ = try await process.space.map(bytes: range.bytes, .readWrite, at: range.start)
    } catch {
      return "unmap and map: \(error)"
    }
    for page in pages {
      model.bytes[page] = [UInt8](repeating: 0, count: PageSize.bytes)
      model.writable[page] = true
    }
    return nil
  }

  private static func rebind(_ machine: Machine, _ process: UserProcess) async -> String? {
    machine.kernel.failures.disarm()
    await machine.unbindDriver()
    do throws(KernelError) {
      try await machine.boot()
      if let svm = machine.svm { try await process.open(svm) }
      return nil
    } catch {
      return "binding again: \(error)"
    }
  }

  private static func compare(
    _ process: UserProcess, _ start: VirtualAddress, _ model: inout Model
  ) async -> String? {
    for page in model.bytes.indices {
      do throws(AccessError) {
        let bytes = try await process.space.load(
          start + page * PageSize.bytes, count: PageSize.bytes)
        if bytes != model.bytes[page] { return "at the end P\(page) holds other bytes" }
      } catch {
        return "at the end P\(page) can't be read: \(error)"
      }
    }
    return nil
  }
}
