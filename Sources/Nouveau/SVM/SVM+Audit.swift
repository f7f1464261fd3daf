import Base
import DeviceSeam
import LinuxMM

extension SVM {
  /// Offences against the rules of device memory, one line each; to be asked when nothing is in
  /// flight. `load` reads VRAM as the hardware does, and is nil when the device is off the bus:
  /// then nothing is translated any more, and nothing can be read.
  package func audit(load: GPUAddressSpace.Load?) -> [String] {
    var offences = dmem.audit()
    if let load {
      for svmm in processes.staying {
        for arrival in svmm.arrivals {
          offences.append("svm: the batch at \(arrival.range.start) stays watched")
        }
        audit(svmm, &offences)
        auditStrayEntries(svmm, load, &offences)
      }
    }
    auditFences(&offences)
    return offences
  }

  /// What the hardware would find in its tables must be known to the driver: an entry that stayed
  /// behind leads to a page that is somebody else's by now.
  private func auditStrayEntries(
    _ svmm: SVMM, _ load: GPUAddressSpace.Load, _ offences: inout [String]
  ) {
    // A device that is off the bus or asleep translates nothing.
    if nouveau.isLost || nouveau.state != .running { return }
    svmm.gpuSpace.forEachValidPage(load: load) { page in
      if svmm.mirrored.contains(page) { return }
      let address = VirtualAddress(page << UInt64(PageSize.shift))
      offences.append(
        "gpu page table of \(svmm.space.name) at \(address): an entry that the driver forgot")
    }
  }

  /// Every fence was ended once, or its context lives and can still end it.
  private func auditFences(_ offences: inout [String]) {
    for channel in nouveau.fifo.liveChannels {
      let fences = channel.fences
      let known = fences.endedCount + UInt64(fences.pendingCount)
      if fences.emittedCount != known {
        offences.append(
          "fence: channel \(channel.id) has emitted \(fences.emittedCount) fences, "
            + "\(fences.endedCount) have ended and \(fences.pendingCount) are pending")
      }
      if !channel.isKilled { continue }
      for seqno in fences.pendingNumbers {
        offences.append(
          "fence \(fences.context):\(seqno) is pending on the dead channel \(channel.id)")
      }
    }
  }

  /// How often the GPU's page tables map each of the first `pages` pages of RAM, over all
  /// processes.
  package func systemMappings(pages: Int) -> [Int] {
    var counts = [Int](repeating: 0, count: pages)
    for svmm in processes.all {
      svmm.mirrored.visit { _, bus in
        guard let bus, bus.rawValue >= DMAAddressSpace.busOffset else { return }
        let page = Int((bus.rawValue - DMAAddressSpace.busOffset) >> UInt64(PageSize.shift))
        if page < pages { counts[page] += 1 }
      }
    }
    return counts
  }

  /// Pages of RAM that the GPU's page tables map, over all processes.
  package var mappedSystemPages: UInt64 {
    processes.all.reduce(0) { $0 + UInt64($1.mirrored.inRAM) }
  }

  /// What the driver believes the GPU's page tables to hold, what they hold, and what the CPU's
  /// hold must name the same page, the GPU with no more rights (bugs.md N11, V09).
  private func audit(_ svmm: SVMM, _ offences: inout [String]) {
    svmm.mirrored.visit { page, bus in
      let address = VirtualAddress(page << UInt64(PageSize.shift))
      let cpu = svmm.space.entry(at: address)
      let gpu = svmm.gpuSpace.entry(at: GPUVirtualAddress(address.rawValue))
      func offend(_ what: String) {
        offences.append("gpu page table of \(svmm.space.name) at \(address): \(what)")
      }
      if gpu.hostAddress != bus || (bus == nil) != (gpu.vramAddress != nil) {
        offend("holds \(gpu), the driver believes \(bus.map { "host \($0)" } ?? "VRAM")")
      }
      switch cpu.location {
      case .device(let frame):
        if dmem.chunk(of: frame)?.address(of: frame) != gpu.vramAddress {
          offend("\(gpu), but the CPU has \(cpu)")
        }
        if gpu.isWritable && cpu.kind != .deviceWrite { offend("writable, but the CPU has \(cpu)") }
      case .ram(let frame):
        if gpu.hostAddress?.rawValue != DMAAddressSpace.busOffset + frame.physical.rawValue {
          offend("\(gpu), but the CPU has \(cpu)")
        }
        if gpu.isWritable && !cpu.isWritable { offend("writable, but the CPU has \(cpu)") }
        if gpu.allowsAtomics { offend("allows atomics on a page that the CPU maps") }
      case .exclusive(let frame):
        if gpu.hostAddress?.rawValue != DMAAddressSpace.busOffset + frame.physical.rawValue {
          offend("\(gpu), but the CPU has \(cpu)")
        }
        if gpu.isWritable && cpu.kind != .exclusiveWrite {
          offend("writable, but the CPU has \(cpu)")
        }
      case .zero:
        if gpu.hostAddress == nil || gpu.isWritable { offend("\(gpu), but the CPU has \(cpu)") }
      default:
        offend("\(gpu), but the CPU has \(cpu)")
      }
    }
  }
}

extension Dmem {
  /// Whether the counts of chunks and pages agree with each other and with the core's.
  func audit() -> [String] {
    var offences: [String] = []
    var free = 0
    for (index, chunk) in chunks.enumerated() {
      let used = chunk.occupiedRuns.reduce(0) { $0 + $1.count }
      if used != chunk.inUse {
        offences.append("dmem: chunk \(chunk.range) counts \(chunk.inUse) pages, \(used) are taken")
      }
      if chunk.position != index {
        offences.append("dmem: chunk \(chunk.range) believes to be number \(chunk.position)")
      }
      free += chunk.freePages
      for run in chunk.occupiedRuns {
        for page in run where mm.referenceCount(chunk.range.start + page) == 0 {
          offences.append("dmem: page \(chunk.range.start + page) is taken, and free for the core")
        }
      }
    }
    if free != freePages { offences.append("dmem: \(freePages) free pages counted, \(free) found") }
    if reservedPages != 0 { offences.append("dmem: \(reservedPages) pages stay promised") }
    if operations != 0 { offences.append("dmem: \(operations) operations never ended") }
    return offences
  }
}
