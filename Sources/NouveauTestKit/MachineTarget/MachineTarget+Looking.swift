import Base
import DMAFence
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau

extension MachineTarget {
  public func location(mapping: String, page: Int) -> PageLocation {
    guard let place = try? place(mapping) else { return .none }
    switch place.space.entry(at: place.address(page: page)).location {
    case .none: return .none
    case .zero: return .zero
    case .ram: return .ram
    case .device(let frame): return location(ofDevicePage: frame)
    case .exclusive: return .device
    case .migration: return .migrating
    case .poison: return .poison
    case .swap: return .swap
    case .marker: return .none
    }
  }

  /// By the GPU that has the page.
  private func location(ofDevicePage frame: PFN) -> PageLocation {
    let places: [PageLocation] = [.device, .gpu1, .gpu2, .gpu3]
    let gpu = machine.gpus.firstIndex { $0.svm?.dmem.chunk(of: frame) != nil }
    return places[gpu ?? 0]
  }

  public func peek(mapping: String, page: Int) -> [UInt8]? {
    guard let place = try? place(mapping) else { return nil }
    switch place.space.entry(at: place.address(page: page)).location {
    case .ram(let frame), .device(let frame), .migration(let frame), .exclusive(let frame):
      return bytes(of: frame)
    case .none, .marker: return fileBytes(place, page)
    case .swap(let slot): return machine.mm.swappedBytes(slot: slot)
    default: return nil
    }
  }

  /// The bytes that a file mapping shows where it has no entry yet; nil for other mappings.
  private func fileBytes(_ place: MappingPlace, _ page: Int) -> [UInt8]? {
    guard let file = place.space.find(place.address(page: page))?.file else { return nil }
    if let frame = file.cachedPage(UInt64(page)) { return bytes(of: frame) }
    if let slot = file.swappedSlot(UInt64(page)) { return machine.mm.swappedBytes(slot: slot) }
    return file.stored(UInt64(page * PageSize.bytes), count: PageSize.bytes)
  }

  /// A page's bytes, in RAM or in VRAM.
  private func bytes(of frame: PFN) -> [UInt8]? {
    guard machine.mm.isDevicePrivate(frame) else {
      return machine.mm.ram.bytes(at: frame.index * PageSize.bytes, count: PageSize.bytes)
    }
    for slot in machine.gpus {
      guard let chunk = slot.svm?.dmem.chunk(of: frame) else { continue }
      guard let place = chunk.place(of: frame) else { return nil }
      if let kept = place.system {
        return machine.mm.ram.bytes(at: kept.index * PageSize.bytes, count: PageSize.bytes)
      }
      return place.vram.map {
        slot.gpu.vram.bytes(at: Int($0.rawValue), count: PageSize.bytes)
      }
    }
    return nil
  }

  public func counter(_ name: String) -> UInt64? {
    switch name {
    case "minor-faults":
      return machine.mm.addressSpaces.reduce(0) { $0 + $1.counters.minorFaults }
    case "rss":
      return machine.mm.addressSpaces.reduce(0) { $0 + UInt64($1.counters.residentPages) }
    case "charged": return UInt64(machine.group?.charged ?? 0)
    case "kills": return machine.mm.counters.kills
    case "free-ram-pages": return UInt64(machine.mm.freeSystemPages)
    default:
      // A device's own; of all together.
      return machine.gpus.indices.reduce(UInt64?(0)) { sum, gpu in
        sum.flatMap { sum in counter(name, gpu: gpu).map { sum + $0 } }
      }
    }
  }

  /// Failures of the device after which a fence may stand for ever, or until somebody looks.
  private static let silencingPoints: [InjectionPoint] = [
    .fenceStall, .fenceWrongValue, .interruptLost, .deviceLost,
  ]

  public func canSignalFence(context: UInt64, seqno: UInt64) -> Bool {
    if Self.silencingPoints.contains(where: { kernel.failures.hasStruck($0) }) { return true }
    for slot in machine.gpus {
      switch slot.driver?.outlook(ofFence: seqno, in: context) {
      case nil: continue
      case .nobody: return false
      case .driver: return true
      case .device(let channel): return slot.gpu.works(onChannel: channel)
      }
    }
    return true
  }

  /// From the trace, which an expectation on fences turns on.
  public func fenceCounts() -> FenceCounts {
    var counts = FenceCounts()
    var emitted: UInt64 = 0
    for event in kernel.trace.events {
      if event.kind == .fenceEmit { emitted += 1 }
      guard event.kind == .fenceSignal else { continue }
      if event.c == 0 { counts.signalled += 1 } else { counts.failed += 1 }
    }
    counts.pending = emitted - min(emitted, counts.signalled + counts.failed)
    return counts
  }
}
