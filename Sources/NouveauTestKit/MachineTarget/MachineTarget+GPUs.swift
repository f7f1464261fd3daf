import Base
import DeviceSeam
import EmulatedGPU
import LinuxMM
import Machine
import Nouveau

extension MachineTarget {
  /// Further GPUs like the first, and how they share memory.
  static func addGPUs(
    _ plan: MachinePlan, _ configuration: inout MachineConfiguration
  ) throws(KernelError) {
    guard let peers = PeerPolicy(rawValue: plan.peers),
      let engine = PeerEngine(rawValue: plan.peerEngine)
    else { throw .EINVAL }
    configuration.moreGPUs = .init(repeating: configuration.gpu, count: plan.gpuCount - 1)
    configuration.peerAccess = plan.hasPeerAccess
    configuration.policy.peers = peers
    configuration.policy.peerEngine = engine
  }

  /// The GPU of this number; `ENODEV` without one.
  private func slot(_ gpu: Int) throws(OperationFailure) -> MachineGPU {
    guard machine.gpus.indices.contains(gpu) else { throw OperationFailure(.ENODEV) }
    return machine.gpus[gpu]
  }

  /// Its driver's memory; `ENODEV` when the driver is unbound.
  private func svm(_ gpu: Int) throws(OperationFailure) -> SVM {
    guard let svm = try slot(gpu).svm else { throw OperationFailure(.ENODEV) }
    return svm
  }

  /// Its driver; `ENODEV` when it is unbound.
  private func driver(_ gpu: Int) throws(OperationFailure) -> NouveauDevice {
    guard let driver = try slot(gpu).driver else { throw OperationFailure(.ENODEV) }
    return driver
  }

  public func store(
    _ span: ByteSpan, _ bytes: [UInt8], byGPU gpu: Int
  ) async throws(OperationFailure) {
    let place = try place(span.mapping)
    do throws(DeviceAccessError) {
      try await place.process.deviceStore(place.range.start + span.offset, bytes, gpu: gpu)
    } catch {
      throw Self.failure(error)
    }
  }

  public func load(_ span: ByteSpan, byGPU gpu: Int) async throws(OperationFailure) -> [UInt8] {
    let place = try place(span.mapping)
    do throws(DeviceAccessError) {
      return try await place.process.deviceLoad(
        place.range.start + span.offset, count: span.count, gpu: gpu)
    } catch {
      throw Self.failure(error)
    }
  }

  public func migrate(
    _ span: PageSpan, to side: MemorySide, gpu: Int, explains: Bool, _ stayed: inout [StayedPages]
  ) async throws(OperationFailure) -> Int {
    let place = try place(span.mapping)
    let range = place.range(span.pages)
    let process = place.process
    if side == .ram && !explains {
      return try await calling { () throws(KernelError) in
        try await process.migrateToRAM(range, gpu: gpu)
      }
    }
    let result = try await calling { () throws(KernelError) in
      switch side {
      case .ram: try await process.explainedMigrateToRAM(range, gpu: gpu)
      case .device: try await process.migrateToDevice(range, gpu: gpu, explains: explains)
      }
    }
    for part in result.stayed {
      let first = span.pages.first + VirtualRange(range.start, part.range.start).pages
      stayed.append(
        StayedPages(
          PageRange(first, first + part.range.pages - 1), reason: part.reason.kind.rawValue,
          detail: part.reason.description))
    }
    if let error = result.error { throw OperationFailure(error) }
    return result.moved
  }

  public func suspend(gpu: Int) async throws(OperationFailure) {
    let driver = try driver(gpu)
    try await calling { () throws(KernelError) in try await driver.suspend() }
  }

  public func resume(gpu: Int) async throws(OperationFailure) {
    let driver = try driver(gpu)
    try await calling { () throws(KernelError) in try await driver.resume() }
  }

  public func trim(gpu: Int) async throws(OperationFailure) {
    _ = await (try svm(gpu)).trim(keeping: 0)
  }

  public func teardown(gpu: Int) async throws(OperationFailure) {
    let svm = try svm(gpu)
    await machine.unbindDriver(gpu: gpu)
    lastCounters[gpu] = svm.dmemCounters
  }

  public func counter(_ name: String, gpu: Int) -> UInt64? {
    guard machine.gpus.indices.contains(gpu) else { return nil }
    let slot = machine.gpus[gpu]
    let dmem = slot.svm?.dmemCounters ?? lastCounters[gpu]
    switch name {
    case "pages-to-device": return dmem.toDevice
    case "pages-to-ram": return dmem.toRAM + dmem.evicted
    case "huge-pages-to-device": return dmem.hugeToDevice
    case "huge-pages-to-ram": return dmem.hugeToRAM
    case "huge-page-splits": return dmem.hugeSplits
    case "pages-from-peers": return dmem.fromPeers
    case "peer-fallbacks": return dmem.peerFallbacks
    case "walk-retries": return dmem.walkRetries
    case "device-faults": return dmem.faults
    case "failed-faults": return dmem.faultErrors
    case "clears": return dmem.cleared
    case "copy-failures": return dmem.copyFailures
    case "lost": return dmem.lost
    case "launches": return dmem.launches
    case "chunks": return UInt64(slot.svm?.chunkCount ?? 0)
    case "device-pages": return UInt64(slot.svm?.devicePagesInUse ?? 0)
    case "free-device-pages":
      return UInt64(slot.svm?.dmem.chunks.reduce(0) { $0 + $1.freePages } ?? 0)
    case "dma-mappings": return slot.gpu.dma.mappedPages
    case "bad-unmaps": return UInt64(slot.gpu.dma.badUnmaps.count)
    default: return nil
    }
  }
}
