import Base
import DeviceSeam
import KernelRuntime
import NVHardware
import Testing

@testable import Nouveau

@Suite struct AddressSpaceTests {
  private static let page = UInt64(PageSize.bytes)

  private func withSpace(
    _ body: @escaping (NouveauDevice, GPUAddressSpace) async throws(KernelError) -> Void
  ) throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let before = device.usage
      let space = try GPUAddressSpace(
        device.mmu, "test", managed: GPUVirtualAddress(0x1_0000)..<GPUVirtualAddress(1 << 48))
      try await body(device, space)
      await space.destroy()
      #expect(device.usage == before)
    }
  }

  @Test func map_usesTheLargestPagesThatFit() throws {
    try withSpace { device, space throws(KernelError) in
      let at = GPUVirtualAddress(0x4000_0000 - 0x1_1000)
      let target = VRAMAddress(0x80_0000 - 0x1_1000)
      // 4 KiB, 64 KiB, 2 MiB, 64 KiB, 4 KiB.
      let bytes: UInt64 = 0x1000 + 0x1_0000 + 0x20_0000 + 0x1_0000 + 0x1000
      try await space.map(.vram(target), at: at, bytes: bytes)
      var offset: UInt64 = 0
      while offset < bytes {
        #expect(
          space.entry(at: at + offset).vramAddress == target + offset,
          "offset 0x\(String(offset, radix: 16))")
        offset += Self.page
      }
      #expect(space.entry(at: at - Self.page) == .none)
      #expect(space.entry(at: at + bytes) == .none)
      // PD2, then PD1, PD0, and per 2 MiB block the small and large tables it needs.
      #expect(space.tableCount == 8)
      await space.unmap(at, bytes: bytes)
      #expect(space.tableCount == 0)
      #expect(space.entry(at: at + 0x1_1000) == .none)
    }
  }

  @Test func theTablesInMemory_sayWhatTheDriverThinks() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let space = device.kernelSpace
      let instance = Int(device.copyChannel.instanceAddress.rawValue)
      let at = GPUVirtualAddress(0x12_3456_7000)
      try await space.map(.vram(VRAMAddress(0x30_0000)), at: at, bytes: 0x3000)
      let host = DMAAddress(DMAAddressSpace.busOffset + 0x5000)
      try await space.map(
        .host(host), at: GPUVirtualAddress(0x55_0000_0000), bytes: Self.page, writable: false)
      let found = bench.gpu.translate(at.rawValue + 0x2123, instance: instance)
      #expect(found?.isSystem == false && found?.address == 0x30_2123)
      let other = bench.gpu.translate(0x55_0000_0010, instance: instance)
      #expect(other?.isSystem == true && other?.address == host.rawValue + 0x10)
      #expect(!space.entry(at: GPUVirtualAddress(0x55_0000_0000)).isWritable)
      await space.unmap(at, bytes: 0x3000)
      await space.unmap(GPUVirtualAddress(0x55_0000_0000), bytes: Self.page)
      #expect(bench.gpu.translate(at.rawValue, instance: instance) == nil)
    }
  }

  @Test func map_overAMapping_isRefused_andChangesNothing() throws {
    try withSpace { device, space throws(KernelError) in
      let at = GPUVirtualAddress(0x20_0000)
      try await space.map(.vram(VRAMAddress(0x40_0000)), at: at, bytes: 0x2000)
      let tables = space.tableCount
      for (address, bytes) in [(at - Self.page, 0x2000 as UInt64), (at, 0x20_0000)] {
        let error = await KernelError.of { () throws(KernelError) in
          try await space.map(.vram(VRAMAddress(0x60_0000)), at: address, bytes: bytes)
        }
        #expect(error == .EEXIST)
        #expect(space.entry(at: at - Self.page) == .none)
        #expect(space.entry(at: at).vramAddress == VRAMAddress(0x40_0000))
        #expect(space.tableCount == tables)
      }
      await space.unmap(at, bytes: 0x2000)
    }
  }

  @Test func map_outsideTheSpace_orMisaligned_isInvalid() throws {
    try withSpace { _, space throws(KernelError) in
      for (at, bytes) in [
        (0x1001, 0x1000), (0x1000, 0x800), (0x1000, 0), (1 << 49, 0x1000),
        ((1 << 49) - 0x1000, 0x2000),
      ] as [(UInt64, UInt64)] {
        let error = await KernelError.of { () throws(KernelError) in
          try await space.map(.vram(VRAMAddress(0)), at: GPUVirtualAddress(at), bytes: bytes)
        }
        #expect(error == .EINVAL, "0x\(String(at, radix: 16)) \(bytes)")
      }
    }
  }

  @Test func setPages_leavesGaps_replacesAndTakesAway() throws {
    try withSpace { _, space throws(KernelError) in
      // Across the end of a table.
      let at = GPUVirtualAddress(0x3f_e000)
      func vram(_ page: UInt64) -> GPUPTE { .vram(VRAMAddress(page << 12), writable: false) }
      try await space.setPages(at: at, count: 4) { $0 == 1 ? nil : vram(UInt64(0x100 + $0)) }
      #expect(
        (0..<4).map { space.entry(at: at + UInt64($0) * Self.page) }
          == [vram(0x100), .none, vram(0x102), vram(0x103)])
      let host = GPUPTE.host(DMAAddress(DMAAddressSpace.busOffset), writable: true)
      try await space.setPages([host, host, .none], at: at)
      #expect(
        (0..<4).map { space.entry(at: at + UInt64($0) * Self.page) }
          == [host, host, .none, vram(0x103)])
      await space.unmapPages(at: at, count: 4)
      #expect(space.tableCount == 0)
    }
  }

  @Test func setPages_ofNothing_makesNoTables() throws {
    try withSpace { _, space throws(KernelError) in
      try await space.setPages(at: GPUVirtualAddress(0x1000), count: 600) { _ in
        GPUPTE.none
      }
      try await space.setPages(at: GPUVirtualAddress(0x1000), count: 600) { _ in nil }
      #expect(space.tableCount == 0)
    }
  }

  @Test func everyTableThatCantBeHad_unwinds() throws {
    try withSpace { device, space throws(KernelError) in
      let at = GPUVirtualAddress(0x7f_ffff_f000)
      let kept = GPUVirtualAddress(0x10_0000)
      try await space.map(.vram(VRAMAddress(0x40_0000)), at: kept, bytes: Self.page)
      let before = (device.usage, space.tableCount)
      var failed = 0
      for passage: UInt64 in 1..<20 {
        device.kernel.failures.disarm()
        device.kernel.failures.arm(.gpuPageTable, .nth(passage))
        let error = await KernelError.of { () throws(KernelError) in
          try await space.setPages(at: at, count: 2) {
            .vram(VRAMAddress(UInt64($0) << 12 + 0x50_0000))
          }
        }
        if error == nil { break }
        failed += 1
        #expect(error == .ENOMEM)
        #expect(device.usage == before.0, "passage \(passage)")
        #expect(space.tableCount == before.1, "passage \(passage)")
        #expect(space.entry(at: at) == .none)
        #expect(space.entry(at: kept).vramAddress == VRAMAddress(0x40_0000))
      }
      // PD1, PD0 and PT for each of two far pages, but PD2 is there.
      #expect(failed == 6)
      device.kernel.failures.disarm()
    }
  }

  @Test func everyChange_isFollowedByAnInvalidation() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let space = device.kernelSpace
      let at = GPUVirtualAddress(0x5000_0000)
      bench.gpu.accesses = []
      try await space.map(.vram(VRAMAddress(0x30_0000)), at: at, bytes: Self.page)
      var tail = bench.gpu.accesses?.filter { $0.isWrite }.suffix(3).map { $0 } ?? []
      #expect(
        tail.map(\.offset) == [
          NV_PFB.PRI_MMU_INVALIDATE_PDB, NV_PFB.PRI_MMU_INVALIDATE_UPPER_PDB,
          NV_PFB.PRI_MMU_INVALIDATE,
        ])
      #expect(tail.last?.value == 0x8000_0001)
      bench.gpu.accesses = []
      await space.unmap(at, bytes: Self.page)
      tail = bench.gpu.accesses?.filter { $0.isWrite }.suffix(1).map { $0 } ?? []
      #expect(tail.map(\.offset) == [NV_PFB.PRI_MMU_INVALIDATE])
      bench.gpu.accesses = nil
    }
  }

  @Test func aBARsInvalidation_isTheHubsOnly() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      bench.gpu.accesses = []
      let at = try await device.bar1.map(VRAMAddress(0x30_0000), bytes: Self.page)
      #expect(bench.gpu.accesses?.last { $0.isWrite }?.value == 0x8000_0005)
      bench.gpu.accesses = nil
      await device.bar1.unmap(at, bytes: Self.page)
    }
  }

  @Test func aStuckInvalidationQueue_isReportedAndPassed() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let saved = bench.gpu.peek(NV_PFB.PRI_MMU_CTRL)
      bench.gpu.poke(NV_PFB.PRI_MMU_CTRL, 0)
      try await device.kernelSpace.map(
        .vram(VRAMAddress(0x30_0000)), at: GPUVirtualAddress(0x5000_0000), bytes: Self.page)
      #expect(device.logLines == ["mmu: invalidation queue has no room"])
      bench.gpu.poke(NV_PFB.PRI_MMU_CTRL, saved)
      await device.kernelSpace.unmap(GPUVirtualAddress(0x5000_0000), bytes: Self.page)
    }
  }

  /// Random maps, page sets and unmaps against a dictionary of pages.
  @Test(arguments: 0..<10 as Range<UInt64>)
  func randomOperations_matchAPlainTable(_ seed: UInt64) throws {
    try withSpace { device, space throws(KernelError) in
      var generator = SplitMix64(seed: seed)
      var oracle: [UInt64: GPUPTE] = [:]
      let base: UInt64 = 0x7fe0_0000 >> 12
      for step in 0..<150 {
        let first = UInt64(generator.below(1400))
        let count = 1 + UInt64(generator.below(generator.chance(1, in: 3) ? 700 : 40))
        let at = GPUVirtualAddress((base + first) << 12)
        switch generator.below(3) {
        case 0:
          let target = VRAMAddress(UInt64(generator.below(4096)) << 12)
          let isFree = (first..<first + count).allSatisfy { oracle[$0] == nil }
          let error = await KernelError.of { () throws(KernelError) in
            try await space.map(.vram(target), at: at, bytes: count << 12)
          }
          #expect(isFree || error == .EEXIST, "seed \(seed) step \(step)")
          if error == nil {
            for page in 0..<count {
              oracle[first + page] = .vram(target + page << 12)
            }
          }
        case 1:
          let entry = GPUPTE.vram(VRAMAddress(UInt64(generator.below(4096)) << 12))
          let error = await KernelError.of { () throws(KernelError) in
            try await space.setPages(at: at, count: Int(count)) { $0 % 3 == 0 ? nil : entry }
          }
          if error == nil {
            for page in 0..<count where page % 3 != 0 { oracle[first + page] = entry }
          }
        default:
          // A 2 MiB page goes whole, so blocks are unmapped whole.
          let low = (base + first) & ~511
          let high = (base + first + count + 511) & ~511
          await space.unmap(GPUVirtualAddress(low << 12), bytes: (high - low) << 12)
          for page in low..<high { oracle[page &- base] = nil }
        }
        for page in stride(from: 0 as UInt64, to: 2200, by: 7) {
          let found = space.entry(at: GPUVirtualAddress((base + page) << 12))
          #expect(
            found == oracle[page] ?? .none, "seed \(seed) step \(step) page \(page)")
        }
      }
      await space.unmap(GPUVirtualAddress((base & ~511) << 12), bytes: 4096 << 12)
      #expect(space.tableCount == 0, "seed \(seed)")
    }
  }
}
