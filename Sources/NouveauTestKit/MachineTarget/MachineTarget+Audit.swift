import Base
import DeviceSeam
import EmulatedGPU
import LinuxMM
import Machine
import Nouveau

extension MachineTarget {
  public func audit() -> [String] {
    var offences: [String] = []
    let memory: MemoryAudit
    do throws(KernelError) {
      memory = try machine.mm.audit(isQuiet: true)
    } catch {
      return ["the audit itself could not be made: \(error)"]
    }
    offences += memory.problems.map { "mm: \($0)" }
    offences += machine.gpu.audit().map { "gpu: \($0)" }
    offences += machine.gpu.dma.badUnmaps.map { "dma: \($0) was unmapped without a mapping" }
    if let svm = machine.svm {
      let inUse = svm.devicePagesInUse
      if inUse != memory.deviceEntries + memory.unmapped.count {
        offences.append(
          "dmem: \(inUse) device pages in use, \(memory.deviceEntries) entries name one and "
            + "\(memory.unmapped.count) are held without an entry")
      }
    }
    var hostTranslations: UInt64 = 0
    for (name, place) in mappings {
      for page in 0..<place.range.pages {
        audit(name, place, page, &hostTranslations, &offences)
      }
    }
    let mapped = machine.gpu.dma.mappedPages
    if mapped != hostTranslations {
      offences.append(
        "dma: \(mapped) pages are mapped, \(hostTranslations) of them for the GPU's page tables")
    }
    return offences
  }

  /// Compares the GPU's translation of a page with the CPU's: it names the same page, with no more
  /// rights (bugs.md N11, V09).
  private func audit(
    _ name: String, _ place: MappingPlace, _ page: Int, _ hostTranslations: inout UInt64,
    _ offences: inout [String]
  ) {
    let address = place.range.start + page * PageSize.bytes
    let entry = place.process.space.entry(at: address)
    func offend(_ what: String) {
      offences.append("gpu page table: P\(page) of \(name) is \(what), the CPU has \(entry)")
    }
    switch place.process.deviceTranslation(address) {
    case .none: return
    case .vram(let vram, let writable):
      guard case .device(let frame) = entry.location,
        machine.svm?.dmem.chunk(of: frame)?.address(of: frame) == vram
      else { return offend("VRAM \(vram)") }
      if writable && entry.kind != .deviceWrite { offend("writable in VRAM") }
    case .host(let bus, let writable):
      hostTranslations += 1
      let frame: PFN
      switch entry.location {
      case .ram(let found): frame = found
      case .zero: frame = MemoryManager.zeroPage
      default: return offend("host memory at \(bus)")
      }
      if bus.rawValue != DMAAddressSpace.busOffset + frame.physical.rawValue {
        offend("host memory at \(bus)")
      }
      if writable && !entry.isWritable { offend("writable in host memory") }
    }
  }
}
