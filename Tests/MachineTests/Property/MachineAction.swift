import Base
import KernelRuntime

/// Bytes of one page of one process, by the place's number (``MachineWorld/places``).
struct PlaceBytes: CustomStringConvertible {
  let process: Int
  let place: Int
  let offset: Int
  var bytes: [UInt8] = []
  var count = 0

  var description: String { "p\(process) \(place)+\(offset)" }
}

/// One thing that happens to a machine. All that it does is in it, so that a sequence can lose
/// actions; processes, GPUs and pins that don't exist make it do nothing.
enum MachineAction: CustomStringConvertible {
  case store(PlaceBytes, gpu: Int?)
  case load(PlaceBytes, gpu: Int?)
  case migrate(process: Int, MachineWorld.Part, gpu: Int)
  case back(process: Int, MachineWorld.Part, gpu: Int)
  case protect(process: Int, writable: Bool)
  case discard(process: Int, MachineWorld.Part)
  case collapse(process: Int)
  case pin(process: Int, place: Int, write: Bool)
  case unpin
  case fork(from: Int, to: Int)
  case exit(process: Int)
  case fail(InjectionPoint, nth: UInt64)
  case sleepAndWake(gpu: Int)
  case rebind(gpu: Int)

  var description: String {
    switch self {
    case .store(let to, let gpu): "\(name(gpu)) stores \(to.bytes.count) at \(to)"
    case .load(let from, let gpu): "\(name(gpu)) loads \(from.count) at \(from)"
    case .migrate(let process, let part, let gpu): "p\(process) \(part) to gpu \(gpu)"
    case .back(let process, let part, let gpu): "p\(process) \(part) back from gpu \(gpu)"
    case .protect(let process, let writable): "p\(process) small \(writable ? "rw" : "r")"
    case .discard(let process, let part): "p\(process) drops \(part)"
    case .collapse(let process): "p\(process) collapses"
    case .pin(let process, let place, let write): "pin p\(process) \(place)\(write ? " w" : "")"
    case .unpin: "unpin"
    case .fork(let from, let to): "fork p\(from) as p\(to)"
    case .exit(let process): "p\(process) exits"
    case .fail(let point, let nth): "\(point.name) fails (\(nth))"
    case .sleepAndWake(let gpu): "gpu \(gpu) sleeps and wakes"
    case .rebind(let gpu): "gpu \(gpu) unbound and bound"
    }
  }

  private func name(_ gpu: Int?) -> String { gpu.map { "gpu \($0)" } ?? "cpu" }

  /// The process whose bytes it changes or reads; nil for what may run beside anything.
  var ownProcess: Int? {
    switch self {
    case .store(let to, _): to.process
    case .load(let from, _): from.process
    case .protect(let process, _), .discard(let process, _), .collapse(let process): process
    case .pin(let process, _, _): process
    default: nil
    }
  }

  /// Whether it may run beside other actions.
  var mayRunBeside: Bool {
    switch self {
    case .store, .load, .migrate, .back, .discard, .collapse, .protect: true
    default: false
    }
  }
}

extension MachineAction {
  /// Not a lost device or bad memory, which lose bytes.
  private static let points: [InjectionPoint] = [
    .pageAlloc, .pageTableAlloc, .pageLock, .migrateCollect, .migrateCommit, .dmaMap, .peerMap,
    .peerWindow, .memremap, .memRegion, .vramAlloc, .bufferPin, .ringSpace, .fenceAlloc,
    .fenceEmit, .copySubmit, .gpuPageTable, .hmmRetry, .fenceStall, .fenceLate, .copyError,
    .copyFault, .interruptEarly, .interruptLost, .pbdmaError, .hugeAlloc, .folioSplit,
    .notifierInsert,
  ]

  static func draw(_ generator: inout SplitMix64) -> MachineAction {
    let process = generator.below(MachineWorld.maximumProcesses)
    let gpu = generator.below(2)
    let part = MachineWorld.Part.draw(&generator)
    let who = generator.below(3)
    let accessor = who == 2 ? nil : who
    var span = PlaceBytes(
      process: process, place: generator.below(MachineWorld.places.count),
      offset: generator.below(PageSize.bytes - 16))
    span.count = 1 + generator.below(16)
    switch generator.below(30) {
    case 0..<7:
      span.bytes = (0..<span.count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
      return .store(span, gpu: accessor)
    case 7..<11: return .load(span, gpu: accessor)
    case 11..<17: return .migrate(process: process, part, gpu: gpu)
    case 17: return .back(process: process, part, gpu: gpu)
    case 18: return .protect(process: process, writable: generator.chance(2, in: 3))
    case 19: return .discard(process: process, part)
    case 20: return .collapse(process: process)
    case 21: return .pin(process: process, place: span.place, write: generator.chance(1, in: 2))
    case 22: return .unpin
    case 23, 24:
      return .fork(from: process, to: generator.below(MachineWorld.maximumProcesses))
    case 25: return generator.chance(1, in: 2) ? .exit(process: process) : .unpin
    case 26, 27:
      return .fail(points[generator.below(points.count)], nth: UInt64(1 + generator.below(4)))
    case 28: return .sleepAndWake(gpu: gpu)
    default: return generator.chance(1, in: 2) ? .rebind(gpu: gpu) : .unpin
    }
  }
}
