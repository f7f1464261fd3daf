import Base
import KernelRuntime
import LinuxMM
import Testing

/// Every kind of place against every request of `hmm_range_fault`.
@Suite struct HMMMatrixTests {
  enum Request: String, CaseIterable, Sendable {
    case snapshot, fault, write
    /// A write request without a fault request counts for nothing.
    case writeAlone

    var flags: UInt64 {
      switch self {
      case .snapshot: 0
      case .fault: HMMPFN.requestFault
      case .write: HMMPFN.requestFault | HMMPFN.requestWrite
      case .writeAlone: HMMPFN.requestWrite
      }
    }
    var isRequired: Bool { self == .fault || self == .write }
  }

  /// How the request reaches the page: as the range's default, or in its own word.
  enum Way: String, CaseIterable, Sendable { case defaults, word, maskedOut }

  enum Result: Equatable {
    case nothing, readable, writable
    case failure(KernelError)
  }

  private func expected(_ kind: PlaceKind, _ request: Request) -> Result {
    switch kind {
    case .poisoned, .poisonMarker: request.isRequired ? .failure(.EFAULT) : .nothing
    case .ownDevice, .ram, .coherent: .writable
    case .zero, .shared: request == .write ? .writable : .readable
    case .empty: request == .write ? .writable : request == .fault ? .readable : .nothing
    case .foreignDevice, .swapped, .exclusive: request.isRequired ? .writable : .nothing
    }
  }

  /// Looks the page up as a mirror does, beginning again on `EBUSY`.
  private func look(
    _ world: PlaceWorld, _ range: VirtualRange, _ request: Request, _ way: Way
  ) async throws -> Result {
    let space = world.machine.space
    let notifier = try space.insertNotifier(range, OwnersMirror(nil))
    var result = Result.failure(.ETIME)
    for _ in 0..<10 {
      var lookup = HMMRange(
        notifier: notifier, sequence: await notifier.readBegin(), range: range,
        owner: world.machine.device.owner, defaultFlags: way == .defaults ? request.flags : 0,
        flagsMask: way == .word ? .max : 0, pfns: [HMMPFN(rawValue: request.flags)])
      await space.mmapLock.lockShared()
      do throws(KernelError) {
        try await space.hmmRangeFault(&lookup)
        let word = lookup.pfns[0]
        result = word.isWritable ? .writable : word.isValid ? .readable : .nothing
      } catch {
        result = .failure(error)
      }
      space.mmapLock.unlockShared()
      if result != .failure(.EBUSY) { break }
    }
    await notifier.remove()
    return result
  }

  @Test(arguments: PlaceKind.allCases, Request.allCases)
  func eachRequest_ofEachKind(_ kind: PlaceKind, _ request: Request) throws {
    for way in Way.allCases {
      let world = try PlaceWorld()
      try world.run(kind) { range in
        let before = world.machine.location(range)
        let faults = world.machine.device.faults
        let result = try await self.look(world, range, request, way)
        // The mask leaves nothing of a page's own word.
        let counts = way == .maskedOut ? Request.snapshot : request
        #expect(result == self.expected(kind, counts), "\(way)")
        if !counts.isRequired { #expect(world.machine.location(range) == before, "\(way)") }
        // R48: one's own page is reported where it is.
        #expect(world.machine.device.faults == faults)
        if kind == .ownDevice { #expect(world.machine.location(range) == before) }
      }
    }
  }
}
