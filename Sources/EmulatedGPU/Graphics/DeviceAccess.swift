public import Base
import KernelRuntime
public import NVHardware

/// How an access of a running kernel on the GPU ended.
public enum DeviceAccessResult: Hashable, Sendable {
  case completed
  /// The driver cancelled the fault: the access was never done.
  case cancelled(NV_PFAULT.FaultType)
  /// A fault that is not replayable; the context is stopped.
  case faulted(NV_PFAULT.FaultType, GPUVirtualAddress)
  /// The graphics engine is held in reset: the access was never done.
  case stopped
  /// The device fell off the bus.
  case lost
}

/// One access of a kernel on the GPU that waits for the driver to service its fault.
final class ParkedAccess {
  enum State {
    case waiting
    case retry
    case cancelled
  }

  let packet: FaultPacket
  var state = State.waiting

  init(_ packet: FaultPacket) { self.packet = packet }
}

/// Accesses that wait for a replay, oldest first.
final class ParkedAccesses {
  private let board: Board
  private let reports: FaultReports
  private let buffer: FaultBuffer
  private var waiting: [ParkedAccess] = []
  let queue: WaitQueue
  /// Faults parked since the GPU was made.
  private(set) var total: UInt64 = 0

  init(_ board: Board, _ reports: FaultReports, _ buffer: FaultBuffer) {
    self.board = board
    self.reports = reports
    self.buffer = buffer
    queue = WaitQueue(board.kernel, "a replayable GPU fault")
  }

  var count: Int { waiting.count }

  func park(_ access: ParkedAccess) {
    total += 1
    waiting.append(access)
    buffer.report(access.packet)
  }

  /// What an invalidation's REPLAY field asks for. `target` is packed as in PRI_MMU_INVALIDATE.
  func replay(_ kind: MMUReplay, _ target: UInt32) {
    typealias P = NV_PFB
    switch kind {
    case .NONE: return
    case .START, .START_ACK_ALL:
      for access in waiting { access.state = .retry }
      waiting.removeAll()
    case .CANCEL_GLOBAL:
      for access in waiting { cancel(access) }
      waiting.removeAll()
    case .CANCEL_TARGETED:
      let client = P.PRI_MMU_INVALIDATE_CANCEL_CLIENT_ID.get(target)
      let gpc = P.PRI_MMU_INVALIDATE_CANCEL_GPC_ID.get(target)
      for access in waiting where access.packet.client == client && access.packet.gpc == gpc {
        cancel(access)
      }
      waiting.removeAll { $0.state == .cancelled }
    }
    queue.wakeAll()
  }

  /// A cancelled fault becomes one that is not replayable, for the engine's context.
  private func cancel(_ access: ParkedAccess) {
    access.state = .cancelled
    let packet = access.packet
    reports.report(
      unit: NV_PFAULT.MMU_ENG_ID_GRAPHICS, instance: packet.instance, address: packet.address,
      type: packet.type, access: packet.access, client: packet.client, gpc: packet.gpc)
  }

  /// The graphics engine was reset: its accesses are gone.
  func reset() {
    for access in waiting { access.state = .cancelled }
    waiting.removeAll()
    queue.wakeAll()
  }
}

/// Loads, stores and atomics of kernels that run on the GPU, without the instructions around them.
///
/// Scenarios issue them from tasks. They go through the GMMU as the graphics engine's accesses do:
/// a fault of an address space that replays parks the access until the driver replays or cancels
/// it. The bytes of one page move in one step; nothing is said about order between pages.
extension EmulatedGPU {
  /// Reads `count` bytes at a virtual address of the instance block's address space.
  ///
  /// - Parameter client: which unit of the graphics engine asks, told apart in fault packets:
  ///   client number in the low byte, GPC above it.
  public func load(
    instance: VRAMAddress, _ address: GPUVirtualAddress, count: Int, client: UInt32? = nil
  ) async -> (DeviceAccessResult, [UInt8]) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    let result = await access(instance, address, count, .READ, client) { run, length in
      bytes +=
        run.map { $0.memory.bytes(at: $0.offset, count: length) }
        ?? [UInt8](repeating: 0, count: length)
    }
    return (result, bytes)
  }

  /// Writes `bytes` at a virtual address.
  public func store(
    instance: VRAMAddress, _ address: GPUVirtualAddress, _ bytes: [UInt8], client: UInt32? = nil
  ) async -> DeviceAccessResult {
    var done = 0
    return await access(instance, address, bytes.count, .WRITE, client) { run, length in
      run?.memory.store(bytes: [UInt8](bytes[done..<(done + length)]), at: run?.offset ?? 0)
      done += length
    }
  }

  /// Adds to the 32-bit word at an aligned address; the word as it was comes back.
  public func atomicAdd(
    instance: VRAMAddress, _ address: GPUVirtualAddress, _ value: UInt32, client: UInt32? = nil
  ) async -> (DeviceAccessResult, UInt32) {
    invariant(address.isAligned(to: 4), "an atomic at \(address)")
    var old: UInt32 = 0
    let result = await access(instance, address, 4, .ATOMIC, client) { run, _ in
      guard let run else { return }
      old = run.memory.load(UInt32.self, at: run.offset)
      run.memory.store(old &+ value, at: run.offset)
    }
    return (result, old)
  }

  /// Prefetches the translation of an address: faults like a read, moves nothing.
  public func prefetch(
    instance: VRAMAddress, _ address: GPUVirtualAddress, client: UInt32? = nil
  ) async -> DeviceAccessResult {
    await access(instance, address, 1, .PREFETCH, client) { _, _ in }
  }

  /// Accesses that wait for the driver now.
  public var parkedAccesses: Int { parking.count }

  private func access(
    _ instance: VRAMAddress, _ address: GPUVirtualAddress, _ count: Int,
    _ kind: NV_PFAULT.AccessType, _ client: UInt32?,
    _ body: (MemoryRun?, Int) -> Void
  ) async -> DeviceAccessResult {
    await board.kernel.point()
    if board.cost.accessLatency > 0 { await board.kernel.sleep(board.cost.accessLatency) }
    let place = Place(aperture: .vram, address: instance.rawValue)
    var done = 0
    while done < count {
      guard !board.isLost else { return .lost }
      guard NV_PMC.ENABLE_PGRAPH.get(unitEnable) == 1 else { return .stopped }
      board.touch()
      let at = address.rawValue &+ UInt64(done)
      let wanted = min(count - done, PageSize.bytes - Int(at & UInt64(PageSize.bytes - 1)))
      switch resolve(place, at, kind) {
      case .bytes(let run):
        let length = min(wanted, run?.length ?? wanted)
        body(run, length)
        done += length
      case .fault(let type, let isReplayable):
        guard isReplayable else {
          report(place, at, kind, type, client)
          return .faulted(type, GPUVirtualAddress(at))
        }
        let packet = FaultPacket(
          instance: place, address: at, type: type, access: kind,
          client: (client ?? NV_PFAULT.CLIENT_GPC_T1_0) & 0xff, gpc: (client ?? 0) >> 8)
        if let end = await wait(packet) { return end }
      }
    }
    return .completed
  }

  private enum Resolution {
    /// Nil for a sparse page.
    case bytes(MemoryRun?)
    case fault(NV_PFAULT.FaultType, isReplayable: Bool)
  }

  private func resolve(_ instance: Place, _ address: UInt64, _ kind: NV_PFAULT.AccessType)
    -> Resolution
  {
    var isReplayable = false
    do throws(TranslationFault) {
      let context = try mmu.context(at: instance)
      isReplayable = context.isReplayable
      let found = try context.space.translate(address, kind, .gpc, limit: context.limit)
      if found.flags.contains(.sparse) { return .bytes(nil) }
      let isWrite = kind == .WRITE || kind == .ATOMIC
      do throws(BusFault) {
        let run = try board.resolve(found.place, isWrite: isWrite)
        if found.place.aperture == .vram, !isWrite,
          board.firstPoison(in: found.place.address..<found.place.address + 1) != nil
        {
          return .fault(.POISONED, isReplayable: false)
        }
        return .bytes(
          MemoryRun(
            memory: run.memory, offset: run.offset, length: min(run.length, Int(found.length))))
      } catch {
        return .fault(.REGION_VIOLATION, isReplayable: false)
      }
    } catch {
      return .fault(error.type, isReplayable: isReplayable)
    }
  }

  /// Parks until a replay; nil to try again, else how the access ends.
  private func wait(_ packet: FaultPacket) async -> DeviceAccessResult? {
    if board.cost.faultLatency > 0 { await board.kernel.sleep(board.cost.faultLatency) }
    guard !board.isLost else { return .lost }
    guard NV_PMC.ENABLE_PGRAPH.get(unitEnable) == 1 else { return .stopped }
    let parked = ParkedAccess(packet)
    parking.park(parked)
    await parking.queue.wait { [board] in parked.state != .waiting || board.isLost }
    if board.isLost { return .lost }
    return parked.state == .cancelled ? .cancelled(packet.type) : nil
  }

  private func report(
    _ instance: Place, _ address: UInt64, _ kind: NV_PFAULT.AccessType,
    _ type: NV_PFAULT.FaultType, _ client: UInt32?
  ) {
    reports.report(
      unit: NV_PFAULT.MMU_ENG_ID_GRAPHICS, instance: instance, address: address, type: type,
      access: kind, client: (client ?? NV_PFAULT.CLIENT_GPC_T1_0) & 0xff, gpc: (client ?? 0) >> 8)
  }
}
