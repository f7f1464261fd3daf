import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Nouveau

extension Machine {
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
      if let svm {
        let load = { [gpu] (address: VRAMAddress) in
          gpu.vram.load(UInt64.self, at: Int(address.rawValue))
        }
        offences += svm.audit(
          mappedPages: memory.mappedDevicePages, heldPages: held, load: gpu.isLost ? nil : load)
      } else if memory.deviceEntries > 0 {
        offences.append("mm: \(memory.deviceEntries) entries name device pages without a driver")
      }
    } catch {
      offences.append("the audit itself could not be made: \(error)")
    }
    offences += gpu.audit().map { "gpu: \($0)" }
    offences += gpu.dma.badUnmaps.map { "dma: \($0) was unmapped without a mapping" }
    let expected = svm?.mappedSystemPages ?? 0
    if gpu.dma.mappedPages != expected {
      offences.append(
        "dma: \(gpu.dma.mappedPages) pages are mapped, \(expected) of them for GPU page tables")
    }
    if driver == nil && gpu.dma.coherentBytesInUse > 0 {
      offences.append("dma: \(gpu.dma.coherentBytesInUse) coherent bytes in use without a driver")
    }
    offences += kernel.lockChecks.offences.map(\.description)
    offences += kernel.blockedTasks().map { "task: \($0)" }
    return offences
  }

  /// Pages of RAM that hold VRAM's bytes while the device sleeps.
  private var backingPages: Int { driver?.backingPages ?? 0 }
}
