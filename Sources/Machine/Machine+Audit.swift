import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Nouveau

extension Machine {
  /// Sleeps until the drivers have ended what they do by themselves, so that an audit inside a run
  /// finds nothing half done. What other tasks do is theirs.
  ///
  /// A channel's first methods, after a resume too, have no fence: their engine is looked at for
  /// 1 ms at most, so that one that hangs is still found.
  public func quiesce() async {
    for slot in gpus {
      await slot.svm?.quiesce()
      var pause: UInt64 = 1_000
      while !slot.gpu.isIdle && pause < 1_000_000 {
        await kernel.sleep(pause)
        pause *= 2
      }
    }
  }

  /// Checks the whole machine between two runs: one line for each offence, empty when all holds.
  ///
  /// Page tables, counts, free lists and the LRU; page locks and migration entries that stay;
  /// chunks and their pages; the GPU's page tables against the CPU's, as the driver remembers them
  /// and as VRAM holds them; fences on dead channels; DMA mappings, each unmapped once; locks taken
  /// against their order or kept; what the device refused or was asked without having.
  ///
  /// - Parameter heldPages: pages that the caller holds by references of its own, such as pins.
  public func audit(heldPages: Int = 0) -> [String] {
    var offences: [String] = []
    do throws(KernelError) {
      let memory = try mm.audit(isQuiet: true)
      offences += memory.problems.map { "mm: \($0)" }
      let unknown = memory.unmapped.filter { !mm.isDevicePrivate($0) }
      if unknown.count > heldPages + backingPages {
        offences.append(
          "mm: \(unknown.count) pages in use belong to nobody, the first is \(unknown[0])")
      }
      let held = memory.unmapped.count - unknown.count
      auditDevicePages(memory, held: held, &offences)
    } catch {
      offences.append("the audit itself could not be made: \(error)")
    }
    for slot in gpus { audit(slot, &offences) }
    offences += kernel.lockChecks.offences.map(\.description)
    offences += kernel.blockedTasks().map { "task: \($0)" }
    return offences
  }

  /// Device memory of all GPUs against the entries of all processes.
  private func auditDevicePages(
    _ memory: MemoryAudit, held: Int, _ offences: inout [String]
  ) {
    guard gpus.contains(where: { $0.svm != nil }) else {
      if memory.deviceEntries > 0 {
        offences.append("mm: \(memory.deviceEntries) entries name device pages without a driver")
      }
      return
    }
    let mapped = memory.mappedDevicePages
    var inUse = 0
    for slot in gpus {
      guard let svm = slot.svm else { continue }
      inUse += svm.devicePagesInUse
      let load = { [vram = slot.gpu.vram] (address: VRAMAddress, words: Int) in
        vram.words(at: Int(address.rawValue), count: words)
      }
      offences += svm.audit(load: slot.gpu.isLost ? nil : load).map { slot.prefix + $0 }
    }
    if inUse < mapped || inUse > mapped + held {
      offences.append(
        "dmem: \(inUse) device pages in use, \(mapped) are mapped, \(held) are held otherwise")
    }
  }

  /// One GPU and its bus.
  private func audit(_ slot: MachineGPU, _ offences: inout [String]) {
    let dma = slot.gpu.dma
    var found = slot.gpu.audit().map { "gpu: \($0)" }
    found += dma.badUnmaps.map { "dma: \($0) was unmapped without a mapping" }
    let expected = slot.svm?.mappedSystemPages ?? 0
    if dma.mappedPages != expected {
      found.append(
        "dma: \(dma.mappedPages) pages are mapped, \(expected) of them for GPU page tables; "
          + "the first that differs is \(firstMismatch(slot))")
    }
    if slot.driver == nil && dma.coherentBytesInUse > 0 {
      found.append("dma: \(dma.coherentBytesInUse) coherent bytes in use without a driver")
    }
    offences += found.map { slot.prefix + $0 }
  }

  /// The first page of RAM that is mapped for a GPU more or less often than its page tables say.
  private func firstMismatch(_ slot: MachineGPU) -> String {
    let pages = mm.ram.count / PageSize.bytes
    let expected = slot.svm?.systemMappings(pages: pages)
    for page in 0..<pages {
      let mapped = slot.gpu.dma.mappingCount(of: PFN(UInt64(page)))
      if mapped != expected?[page] ?? 0 { return "page \(page)" }
    }
    return "none of RAM"
  }

  /// Pages of RAM that hold VRAM's bytes while a device sleeps.
  private var backingPages: Int { gpus.reduce(0) { $0 + ($1.driver?.backingPages ?? 0) } }
}
