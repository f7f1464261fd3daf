import Base
import KernelRuntime
import LinuxMM
import Testing

/// What `hmm_range_fault` says of huge pages.
@Suite struct HugeHMMTests {
  static let pages = HugePage.pages

  private func look(
    _ machine: TestMachine, _ range: VirtualRange, _ flags: UInt64, owner: PagemapOwner? = nil
  ) async throws -> [HMMPFN] {
    let notifier = try machine.space.insertNotifier(range, QuietMirror())
    var pfns: [HMMPFN] = []
    var failure: KernelError?
    for _ in 0..<10 {
      var request = HMMRange(
        notifier: notifier, sequence: await notifier.readBegin(), range: range, owner: owner,
        defaultFlags: flags)
      await machine.space.mmapLock.lockShared()
      do throws(KernelError) {
        failure = nil
        try await machine.space.hmmRangeFault(&request)
      } catch { failure = error }
      machine.space.mmapLock.unlockShared()
      pfns = request.pfns
      if failure != .EBUSY { break }
    }
    await notifier.remove()
    if let failure { throw failure }
    return pfns
  }

  @Test func aHugeEntry_reportsItsOrder() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge()
      let head = try machine.frame(range)
      let found = try await look(machine, range.subrange(10..<20), 0)
      for (index, word) in found.enumerated() {
        #expect(word.pfn == head + UInt64(10 + index) && word.isWritable && word.mapOrder == 9)
      }
      try await machine.space.protect(range.subrange(0..<1), .read)
      let split = try await look(machine, range.subrange(10..<12), 0)
      #expect(split[0].pfn == head + 10 && split[0].mapOrder == 0)
    }
  }

  @Test func aFaultForWriting_makesAHugePage() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge(filled: false)
      #expect(try await look(machine, range, 0).allSatisfy { $0.rawValue == 0 })
      let read = try await look(machine, range, HMMPFN.requestFault)
      #expect(read.allSatisfy { $0.isValid && !$0.isWritable && $0.mapOrder == 9 })
      try await machine.space.discard(range)
      let write = try await look(
        machine, range, HMMPFN.requestFault | HMMPFN.requestWrite)
      #expect(write.allSatisfy { $0.isWritable && $0.mapOrder == 9 })
      #expect(machine.isHuge(range) && machine.mm.hugeCounters.faultAllocations == 1)
    }
  }

  /// A device's own huge page is reported with its order; another's is brought back.
  @Test func huge_DevicePages_followTheOwner() throws {
    let machine = try TestMachine.huge()
    try machine.run {
      let range = try await machine.mapHuge()
      try await machine.device.takeHuge(machine.space, range)
      let head = try machine.frame(range)
      let own = try await look(
        machine, range, HMMPFN.requestWrite, owner: machine.device.owner)
      #expect(own[8].pfn == head + 8 && own[8].isWritable && own[8].mapOrder == 9)
      #expect(machine.device.faults == 0)
      #expect(try await look(machine, range, 0).allSatisfy { !$0.isValid })
      let back = try await look(machine, range, HMMPFN.requestFault)
      #expect(machine.device.faults == 1 && machine.location(range, 8).isRAM)
      #expect(back.allSatisfy { $0.isValid && $0.mapOrder == 9 })
      try await machine.expectPattern(range, step: 37)
    }
  }
}
