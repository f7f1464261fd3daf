import Base
import KernelRuntime
import NVHardware

/// What a BAR shows: VRAM as it lies, or an address space of its own once an instance block is
/// bound.
final class BarWindow {
  private let board: Board
  private let mmu: MMU
  private let reports: FaultReports
  /// The fault id of the window.
  private let unit: UInt32
  /// The bind register as written.
  private(set) var block: UInt32 = 0
  private var context: InstanceContext?

  init(_ board: Board, _ mmu: MMU, _ reports: FaultReports, unit: UInt32) {
    self.board = board
    self.mmu = mmu
    self.reports = reports
    self.unit = unit
  }

  private var instance: Place? {
    Aperture(target: NV_PBUS.BAR_BLOCK_TARGET.get(block)).map {
      Place(aperture: $0, address: UInt64(NV_PBUS.BAR_BLOCK_PTR.get(block)) << 12)
    }
  }

  func bind(_ value: UInt32) {
    block = value
    context = nil
    guard NV_PBUS.BAR_BLOCK_MODE_VIRTUAL.get(value) == 1, let instance else { return }
    do throws(TranslationFault) {
      context = try mmu.context(at: instance)
    } catch {
      report(error, 0, .READ)
    }
  }

  private func report(
    _ fault: TranslationFault, _ address: UInt64, _ access: NV_PFAULT.AccessType
  ) {
    reports.report(
      unit: unit, instance: instance ?? Place(aperture: .vram, address: 0), address: address,
      type: fault.type, access: access, client: NV_PFAULT.CLIENT_HUB_HOST_CPU)
  }

  /// Where an offset of the window leads; nil after a reported fault.
  private func place(_ address: UInt64, _ access: NV_PFAULT.AccessType) -> Place? {
    guard NV_PBUS.BAR_BLOCK_MODE_VIRTUAL.get(block) == 1 else {
      return Place(aperture: .vram, address: address)
    }
    do throws(TranslationFault) {
      guard let context else { throw TranslationFault(type: .UNBOUND_INST_BLOCK) }
      let found = try context.space.translate(address, access, limit: context.limit)
      return found.flags.contains(.sparse) ? nil : found.place
    } catch {
      report(error, address, access)
      return nil
    }
  }

  /// Where an offset leads for another device, and how far; nil after a reported fault.
  func translatePeer(_ address: UInt64, isWrite: Bool) -> Translation? {
    guard NV_PBUS.BAR_BLOCK_MODE_VIRTUAL.get(block) == 1 else {
      return Translation(
        place: Place(aperture: .vram, address: address), length: .max - address, flags: [])
    }
    let access: NV_PFAULT.AccessType = isWrite ? .WRITE : .READ
    do throws(TranslationFault) {
      guard let context else { throw TranslationFault(type: .UNBOUND_INST_BLOCK) }
      let found = try context.space.translate(address, access, limit: context.limit)
      return found.flags.contains(.sparse) ? nil : found
    } catch {
      report(error, address, access)
      return nil
    }
  }

  /// All ones after a fault, as a read that nobody answers gives.
  func load(at address: UInt64) -> UInt32 {
    guard let place = place(address, .READ) else { return ~0 }
    do throws(BusFault) {
      return try board.load(UInt32.self, at: place)
    } catch {
      return ~0
    }
  }

  /// False when nothing was written.
  @discardableResult
  func store(_ value: UInt32, at address: UInt64) -> Bool {
    guard let place = place(address, .WRITE) else { return false }
    do throws(BusFault) {
      try board.store(value, at: place)
      return true
    } catch {
      return false
    }
  }
}
