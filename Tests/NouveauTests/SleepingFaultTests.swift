import Base
import KernelRuntime
import LinuxMM
import Machine
import NVHardware
import NouveauTestKit
import Testing

@testable import Nouveau

/// GPU faults on pages of a device that sleeps: no access goes to VRAM without power, the faulting
/// access waits for the resume, and the bytes are there then.
@Suite struct SleepingFaultTests {
  static let pages = 3

  private static func bytes(_ page: Int) -> [UInt8] {
    (0..<PageSize.bytes).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ page &* 101) }
  }

  /// A packet of the fault buffer, as the GPU writes it for a context's access.
  private static func fault(
    _ access: NV_PFAULT.AccessType, _ address: VirtualAddress, _ instance: VRAMAddress
  ) throws -> ReplayableFault {
    typealias F = NVB069_FAULT_BUF_ENTRY
    var words = [UInt32](repeating: 0, count: F.byteCount / 4)
    words[F.INST_LO_WORD / 4] = UInt32(truncatingIfNeeded: instance.rawValue)
    words[F.INST_HI_WORD / 4] = UInt32(truncatingIfNeeded: instance.rawValue >> 32)
    words[F.ADDR_LO_WORD / 4] = UInt32(truncatingIfNeeded: address.rawValue)
    words[F.ADDR_HI_WORD / 4] = UInt32(truncatingIfNeeded: address.rawValue >> 32)
    words[F.INFO_WORD / 4] = F.VALID.make32(1) | F.ACCESS_TYPE.make32(access.rawValue)
    return try #require(ReplayableFault(words: words))
  }

  @Test(arguments: [NV_PFAULT.AccessType.READ, .WRITE])
  func faultOnAPageThatSleeps_isLeftForTheResume(_ access: NV_PFAULT.AccessType) throws {
    let machine = try Machine(.tiny)
    var failure: (any Error)?
    try machine.run { machine in
      do {
        try await machine.boot()
        let process = try await machine.makeProcess("p")
        let start = try await process.space.map(
          bytes: UInt64(Self.pages * PageSize.bytes), .readWrite)
        for page in 0..<Self.pages {
          try await process.space.store(start + page * PageSize.bytes, Self.bytes(page))
        }
        let range = VirtualRange(start: start, pages: Self.pages)
        #expect(try await process.migrateToDevice(range).moved == Self.pages)
        let driver = try #require(machine.driver)
        let svm = try #require(machine.svm)
        let svmm = try #require(svm.processes.svmm(of: process.space))
        let fault = try Self.fault(access, start, svmm.instanceAddress)
        try await driver.suspend()
        let before = svm.counters
        #expect(await svm.serve(fault) == .leave)
        #expect(svm.counters == before)
        #expect(process.deviceTranslation(start) == .none)
        #expect(svm.devicePagesInUse == Self.pages)
        try await driver.resume()
        // The same fault is served now.
        #expect(await svm.serve(fault) == .replay)
        let seen = try await process.deviceLoad(start, count: PageSize.bytes)
        #expect(seen == Self.bytes(0))
        for page in 0..<Self.pages {
          let seen = try await process.space.load(
            start + page * PageSize.bytes, count: PageSize.bytes)
          #expect(seen == Self.bytes(page), "page \(page)")
        }
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    #expect(machine.audit() == [])
    try machine.run { await $0.shutdown() }
    #expect(machine.audit() == [])
  }
}
