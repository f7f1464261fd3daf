import Base
import KernelRuntime
import Testing

@testable import Nouveau

@Suite struct MemoryTests {
  private func allocator(_ pages: Range<UInt64> = 16..<1040) -> (Kernel, VRAMAllocator) {
    let kernel = Kernel()
    let range = VRAMAddress(pages.lowerBound << 12)..<VRAMAddress(pages.upperBound << 12)
    return (kernel, VRAMAllocator(kernel, [range]))
  }

  @Test func allocate_isFirstFit_alignedAndRoundedUp() throws {
    let (_, vram) = allocator()
    #expect(try vram.allocate(bytes: 1).rawValue == 16 << 12)
    #expect(try vram.allocate(bytes: 4097).rawValue == 17 << 12)
    #expect(try vram.allocate(bytes: 4096, alignment: 2 << 20).rawValue == 2 << 20)
    #expect(try vram.allocate(bytes: 4096).rawValue == 19 << 12)
    #expect(vram.bytesInUse == 5 << 12)
    #expect(throws: KernelError.ENOMEM) { try vram.allocate(bytes: 8 << 20) }
    #expect(throws: KernelError.EINVAL) { try vram.allocate(bytes: 0) }
  }

  @Test func allocate_canFail_onRequest() throws {
    let (kernel, vram) = allocator()
    kernel.failures.arm(.vramAlloc, .nth(2), error: .ENOSPC)
    _ = try vram.allocate(bytes: 4096)
    #expect(throws: KernelError.ENOSPC) { try vram.allocate(bytes: 4096) }
    #expect(vram.allocationCount == 1)
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func randomAllocations_neverOverlap_andAllComesBack(_ seed: UInt64) throws {
    let (_, vram) = allocator()
    var generator = SplitMix64(seed: seed)
    var live: [(VRAMAddress, UInt64)] = []
    for step in 0..<1000 {
      if generator.chance(3, in: 5) {
        let bytes = UInt64(1 + generator.below(60_000))
        let alignment = UInt64(4096) << UInt64(generator.below(5))
        guard let at = try? vram.allocate(bytes: bytes, alignment: alignment) else { continue }
        let end = at + (bytes + 4095) & ~4095
        #expect(at.isAligned(to: alignment), "seed \(seed) step \(step)")
        #expect(
          live.allSatisfy { at >= $0.0 + ($0.1 + 4095) & ~4095 || end <= $0.0 },
          "seed \(seed) step \(step)")
        live.append((at, bytes))
      } else if !live.isEmpty {
        let (at, bytes) = live.remove(at: generator.below(live.count))
        vram.free(at, bytes: bytes)
      }
    }
    for (at, bytes) in live { vram.free(at, bytes: bytes) }
    #expect(vram.bytesInUse == 0 && vram.allocationCount == 0)
    #expect(try vram.allocate(bytes: 1024 << 12).rawValue == 16 << 12)
  }

  @Test func freeingTwice_traps() async {
    await #expect(processExitsWith: .failure) {
      let vram = VRAMAllocator(Kernel(), [VRAMAddress(0)..<VRAMAddress(1 << 20)])
      let at = try vram.allocate(bytes: 4096)
      _ = try vram.allocate(bytes: 4096)
      vram.free(at, bytes: 4096)
      vram.free(at, bytes: 4096)
    }
  }

  @Test func layout_keepsHeadAndTail_andSplitsMixedMemory() throws {
    let even = VRAMLayout(total: 64 << 20, lower: 64 << 20, upperBase: 0)
    #expect(try even.usable() == [VRAMAddress(256 << 10)..<VRAMAddress(63 << 20)])
    let base = VRAMLayout.upperOffset + (8 << 20)
    let mixed = VRAMLayout(total: 48 << 20, lower: 32 << 20, upperBase: base)
    #expect(
      try mixed.usable() == [
        VRAMAddress(256 << 10)..<VRAMAddress(32 << 20),
        VRAMAddress(base)..<VRAMAddress(base + 15 << 20),
      ])
    let tiny = VRAMLayout(total: 1 << 20, lower: 1 << 20, upperBase: 0)
    #expect(throws: KernelError.ENOMEM) { try tiny.usable() }
  }

  @Test func theWindow_isMovedOnlyWhenItMust() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let low = try device.instanceMemory.allocate(bytes: 4096)
      let high = try device.instanceMemory.allocate(bytes: 4096, alignment: 8 << 20)
      low.write32(1, 0)
      bench.gpu.accesses = []
      low.write32(2, 4)
      #expect(low.read32(4) == 2)
      high.write32(3, 8)
      #expect(bench.gpu.accesses?.count == 4)
      #expect(high.read32(8) == 3 && low.read32(0) == 1 && high.read32(0) == 0)
      bench.gpu.accesses = nil
      device.instanceMemory.free(low)
      device.instanceMemory.free(high)
    }
  }

  @Test func aFillAcrossTheWindowsEnd_reachesBothSides() throws {
    let bench = try Bench()
    try bench.withDevice { device throws(KernelError) in
      let end = VRAMAddress(16 << 20)
      device.instanceMemory.fill(0x5a5a_5a5a, at: end - 8, bytes: 16)
      #expect(
        [end - 8, end - 4, end, end + 4 as VRAMAddress].map { device.instanceMemory.read32($0) }
          == [UInt32](repeating: 0x5a5a_5a5a, count: 4))
      #expect(device.instanceMemory.read32(end + 8) == 0)
    }
  }
}
