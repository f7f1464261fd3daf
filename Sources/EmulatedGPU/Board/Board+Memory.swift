public import Base
import DeviceSeam
import KernelRuntime

/// Where a physical address of the device leads.
enum Aperture: UInt8, BitwiseCopyable {
  case vram
  case system
}

/// A physical address of the device.
struct Place: Equatable, BitwiseCopyable {
  var aperture: Aperture
  var address: UInt64

  func advanced(by bytes: UInt64) -> Place { Place(aperture: aperture, address: address &+ bytes) }
}

/// Why a physical access did not happen.
public enum BusFault: Error, Hashable, Sendable {
  /// Beyond the end of VRAM.
  case outsideVRAM(VRAMAddress)
  /// The bus refused: no mapping covers the address, or not in this direction.
  case refused(DMAAddress, isWrite: Bool)
  /// BUS_MASTER is off in the command register.
  case notBusMaster(DMAAddress)
  /// A write to a board that has left the bus goes nowhere, and nobody tells the writer.
  case dropped
  /// A read of another board's memory that no bytes come back for.
  case unanswered(DMAAddress)
}

/// Bytes that lie together in one host mapping.
struct MemoryRun {
  let memory: MappedMemory
  let offset: Int
  /// Bytes that may be used from `offset` on.
  let length: Int
}

extension Board {
  /// Where bytes at a place are, and how many of them lie together.
  @inline(__always)
  func resolve(_ place: Place, isWrite: Bool) throws(BusFault) -> MemoryRun {
    if place.aperture == .vram {
      guard place.address < UInt64(vram.count) else {
        throw .outsideVRAM(VRAMAddress(place.address))
      }
      let offset = Int(place.address)
      return MemoryRun(memory: vram, offset: offset, length: vram.count - offset)
    }
    return try resolveSystem(place.address, isWrite: isWrite)
  }

  @inline(__always)
  func resolveSystem(
    _ address: UInt64, isWrite: Bool, wanted: UInt64 = 0
  ) throws(BusFault) -> MemoryRun {
    let bus = DMAAddress(address)
    guard pci.isBusMaster else { throw refuse(.notBusMaster(bus)) }
    let target: DMATarget
    do throws(DMAFault) {
      target = try dma.resolve(bus, isWrite: isWrite, wanted: wanted)
    } catch {
      switch error {
      case .unmapped, .permission: throw refuse(.refused(bus, isWrite: isWrite))
      // No defect of the driver that maps: the other board is broken.
      case .dropped: throw .dropped
      case .unanswered: throw .unanswered(bus)
      }
    }
    return MemoryRun(memory: target.memory, offset: target.offset, length: target.length)
  }

  @inline(never)
  private func refuse(_ fault: BusFault) -> BusFault {
    dmaFaults.append(fault)
    pci.recordUnsupportedRequest()
    switch fault {
    case .refused(let address, let isWrite):
      kernel.trace.record(.busFault, address.rawValue, isWrite ? 1 : 0)
    case .notBusMaster(let address): kernel.trace.record(.busFault, address.rawValue)
    case .outsideVRAM, .dropped, .unanswered: break
    }
    return fault
  }

  @inline(__always)
  func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at place: Place)
    throws(BusFault) -> T
  {
    if place.aperture == .vram, place.address < UInt64(vram.count - 8) {
      return vram.load(type, at: Int(place.address))
    }
    let run = try resolve(place, isWrite: false)
    guard run.length >= MemoryLayout<T>.size else { throw .outsideVRAM(VRAMAddress(place.address)) }
    return run.memory.load(type, at: run.offset)
  }

  @inline(__always)
  func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at place: Place) throws(BusFault) {
    if place.aperture == .vram, place.address < UInt64(vram.count - 8) {
      vram.store(value, at: Int(place.address))
      return
    }
    let run = try resolve(place, isWrite: true)
    guard run.length >= MemoryLayout<T>.size else { throw .outsideVRAM(VRAMAddress(place.address)) }
    run.memory.store(value, at: run.offset)
  }

  // MARK: uncorrectable memory errors

  /// Marks the VRAM page that holds `address` as poisoned until it is written over.
  func poison(_ address: UInt64) {
    let page = address & ~UInt64(PageSize.bytes - 1)
    guard !poisonedPages.contains(page) else { return }
    poisonedPages.insert(page, at: poisonedPages.firstIndex { $0 > page } ?? poisonedPages.count)
  }

  /// The first poisoned byte of a range of VRAM.
  func firstPoison(in range: Range<UInt64>) -> UInt64? {
    guard !poisonedPages.isEmpty else { return nil }
    let page = UInt64(PageSize.bytes)
    return poisonedPages.first { $0 < range.upperBound && $0 + page > range.lowerBound }
      .map { max($0, range.lowerBound) }
  }

  /// A write of whole pages heals them.
  func heal(_ range: Range<UInt64>) {
    guard !poisonedPages.isEmpty else { return }
    let page = UInt64(PageSize.bytes)
    poisonedPages.removeAll { $0 >= range.lowerBound && $0 + page <= range.upperBound }
  }
}
