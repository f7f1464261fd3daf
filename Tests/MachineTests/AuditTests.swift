import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import NouveauTestKit
import Testing

/// The audit looks at what the hardware would find, not at what the driver remembers.
@Suite struct AuditTests {
  /// The GPU's entry of page 0, as the driver wrote it, and where in VRAM it stands.
  private func firstEntry(_ bench: Bench) throws -> (word: UInt64, place: Int) {
    let svmm = try #require(bench.machine.svm?.processes.all.first)
    let word = svmm.gpuSpace.entry(at: GPUVirtualAddress(bench.address(0).rawValue)).rawValue
    let vram = bench.machine.gpu.vram
    let place = stride(from: 0, to: 4 << 20, by: 8).first {
      vram.load(UInt64.self, at: $0) == word
    }
    return (word, try #require(place))
  }

  @Test func entryThatTheDriverForgot_isNamed() throws {
    try withBench(pages: 4) { bench in
      try await bench.fill(0..<4)
      _ = try await bench.process.migrateToDevice(bench.range(0..<1))
      #expect(bench.machine.audit() == [])

      let vram = bench.machine.gpu.vram
      let (entry, place) = try self.firstEntry(bench)
      // The entry of the next page, which lies in RAM and isn't mapped on the GPU.
      vram.store(entry, at: place + 8)
      let offences = bench.machine.audit()
      #expect(offences.count == 1)
      #expect(
        offences.first?.contains("at \(bench.address(1)): an entry that the driver forgot") == true)
      vram.store(UInt64(0), at: place + 8)
    }
  }

  /// A translation that leads to another page than the CPU's, or that allows more.
  @Test func entryThatTheCPUDisagreesWith_isNamed() throws {
    try withBench(pages: 4) { bench in
      try await bench.fill(0..<4)
      _ = try await bench.process.migrateToDevice(bench.range(0..<2))
      let vram = bench.machine.gpu.vram
      let (entry, place) = try self.firstEntry(bench)
      // SOURCE: dev_mmu.ref.txt, NV_MMU_VER2_PTE_ADDRESS_VID: pages from bit 8 on.
      vram.store(entry + 1 << 8, at: place)
      let offences = bench.machine.audit()
      #expect(offences.count == 1)
      #expect(offences.first?.hasPrefix("gpu page table of p at \(bench.address(0)): ") == true)
      #expect(offences.first?.contains(", but the CPU has ") == true, "\(offences)")
      vram.store(entry, at: place)
      #expect(bench.machine.audit() == [])
    }
  }

  /// A page of RAM that stays mapped for the GPU: the line names it, and the trace who mapped it.
  @Test func mappingThatStays_isNamedWithItsEvent() throws {
    try withBench(pages: 4, configure: { $0.isTracing = true }) { bench in
      try await bench.fill(0..<4)
      _ = try await bench.process.deviceLoad(bench.address(2), count: 1)
      guard case .ram(let frame) = bench.process.space.entry(at: bench.address(3)).location else {
        return #expect(Bool(false), "page 3 isn't in RAM")
      }
      let dma = bench.machine.gpu.dma
      let address = try dma.map(frame, .toDevice)
      let line = try #require(bench.machine.audit().first)
      #expect(
        line == "dma: 2 pages are mapped, 1 of them for GPU page tables; the first that differs is "
          + "page \(frame.rawValue)")
      let event = try #require(bench.machine.kernel.trace.origin(of: line))
      #expect(event.kind.name == "dma.map" && event.a == frame.rawValue)
      dma.unmap(address, .toDevice)
      #expect(bench.machine.audit() == [])
    }
  }
}
