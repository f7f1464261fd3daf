import Base
import KernelRuntime
import LinuxMM

/// What a page of a process can be to somebody who looks it up: one mapping for each kind.
enum PlaceKind: String, CaseIterable, Sendable {
  case empty, zero, ram, shared, ownDevice, foreignDevice, coherent, swapped, exclusive
  case poisoned, poisonMarker
}

/// A machine with a device of one's own, a foreign one and a coherent one, and a page of each kind.
final class PlaceWorld {
  let machine: TestMachine
  let foreign: TestDevice
  let coherent: TestDevice
  private var child: AddressSpace?
  private var broken: PFN?

  init() throws {
    machine = try TestMachine(swapPages: 4)
    foreign = try TestDevice(machine.mm, "foreign", pages: 4)
    coherent = try TestDevice(
      machine.mm, "coherent", pages: 4, kind: .deviceCoherent, owner: machine.device.owner)
  }

  /// Runs a test's body on a page of a kind.
  func run(_ kind: PlaceKind, _ body: @escaping (VirtualRange) async throws -> Void) throws {
    try machine.run(kind.rawValue) {
      let range = try await self.make(kind)
      try await body(range)
      if let child = self.child { await child.exit() }
      await self.machine.space.exit()
      await self.machine.mm.drainLRUOfAllCPUs()
      if let page = self.broken { try self.machine.mm.unpoison(page) }
    }
  }

  private func make(_ kind: PlaceKind) async throws -> VirtualRange {
    let space = machine.space
    let hasBytes = kind != .empty && kind != .zero && kind != .poisonMarker
    let range = try await machine.map(pages: 1, filled: hasBytes)
    await machine.mm.drainLRUOfAllCPUs()
    switch kind {
    case .empty, .ram: break
    case .zero: _ = try await machine.read(range.start)
    case .shared: child = try await space.fork("child")
    case .ownDevice: try await machine.device.take(space, range)
    case .foreignDevice: try await foreign.take(space, range)
    case .coherent: try await coherent.take(space, range)
    case .swapped: try await space.swapOut(range)
    case .exclusive:
      await space.mmapLock.lockShared()
      let pages = try await space.makeDeviceExclusive(range, owner: machine.device.owner)
      space.mmapLock.unlockShared()
      for page in pages.compactMap(\.self) {
        machine.mm.unlock(page)
        machine.mm.put(page)
      }
    case .poisoned:
      let page = try machine.frame(range)
      try await machine.mm.memoryFailure(ofRAM: page)
      broken = page
    case .poisonMarker:
      let watch = try space.openUserfault(.poison)
      try await watch.register(range, .missing)
      try await watch.poison(range)
      await watch.close()
    }
    return range
  }
}
