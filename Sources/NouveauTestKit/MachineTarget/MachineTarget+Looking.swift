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
    case .device, .exclusive: return .device
    case .migration: return .migrating
    case .poison: return .poison
    case .swap: return .swap
    case .marker: return .none
    }
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
    guard let chunk = machine.svm?.dmem.chunk(of: frame) else { return nil }
    let at = Int(chunk.address(of: frame).rawValue)
    return machine.gpu.vram.bytes(at: at, count: PageSize.bytes)
  }

  public func counter(_ name: String) -> UInt64? {
    let dmem = machine.svm?.dmemCounters ?? lastCounters
    switch name {
    case "pages-to-device": return dmem.toDevice
    case "pages-to-ram": return dmem.toRAM + dmem.evicted
    case "device-faults": return dmem.faults
    case "failed-faults": return dmem.faultErrors
    case "minor-faults":
      return machine.mm.addressSpaces.reduce(0) { $0 + $1.counters.minorFaults }
    case "clears": return dmem.cleared
    case "copy-failures": return dmem.copyFailures
    case "lost": return dmem.lost
    case "launches": return dmem.launches
    case "chunks": return UInt64(machine.svm?.chunkCount ?? 0)
    case "device-pages": return UInt64(machine.svm?.devicePagesInUse ?? 0)
    case "free-device-pages":
      return UInt64(machine.svm?.dmem.chunks.reduce(0) { $0 + $1.freePages } ?? 0)
    case "rss":
      return machine.mm.addressSpaces.reduce(0) { $0 + UInt64($1.counters.residentPages) }
    case "free-ram-pages": return UInt64(machine.mm.freeSystemPages)
    case "dma-mappings": return machine.gpu.dma.mappedPages
    case "bad-unmaps": return UInt64(machine.gpu.dma.badUnmaps.count)
    default: return nil
    }
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
