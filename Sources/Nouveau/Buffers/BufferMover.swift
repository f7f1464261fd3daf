import Base
import DeviceSeam
import KernelRuntime
import LinuxMM
import NVHardware

/// Moves buffer objects between VRAM and system memory with the copy engine
/// (`nouveau_bo_move_m2mf`).
struct BufferMover {
  let channel: Channel
  let dma: DMAAddressSpace
  let manager: BufferManager

  /// Launches in one push buffer segment.
  private static let batch = 128

  /// Copies the bytes of every object in VRAM to system memory, then takes unpinned objects' places
  /// away. On an error every object is as it was.
  ///
  /// Kernel: ttm_resource_manager_evict_all, nouveau_bo_move (ttm_resource.c, nouveau_bo.c)
  func evictAll() async throws(KernelError) {
    var done: [BufferObject] = []
    do throws(KernelError) {
      for buffer in manager.buffers where buffer.isSaved && buffer.backing == nil {
        guard let address = buffer.currentAddress else { continue }
        let all = 0..<Int(PageSize.pages(forBytes: buffer.size))
        let backing = try SystemBacking(manager.mm, buffer.occupancy?() ?? [all])
        buffer.backing = backing
        done.append(buffer)
        try await move(backing, address, toSystem: true)
      }
    } catch {
      for buffer in done { dropBacking(buffer) }
      throw error
    }
    for buffer in done where buffer.pinCount == 0 { buffer.leavePlace() }
  }

  /// Brings an object's bytes back to VRAM, giving it a place if it has none. Without backing there
  /// is nothing to do. On an error the bytes stay in system memory.
  ///
  /// Kernel: nouveau_bo_validate (nouveau_bo.c)
  func restore(_ buffer: BufferObject) async throws(KernelError) {
    guard let backing = buffer.backing else { return }
    let hadPlace = buffer.currentAddress != nil
    if !hadPlace { try buffer.place() }
    guard let address = buffer.currentAddress else { throw .ENOMEM }
    do throws(KernelError) {
      try await move(backing, address, toSystem: false)
    } catch {
      if !hadPlace { buffer.leavePlace() }
      throw error
    }
    dropBacking(buffer)
  }

  private func dropBacking(_ buffer: BufferObject) {
    buffer.backing?.release(manager.mm)
    buffer.backing = nil
  }

  /// Kernel: nve0_bo_move_copy, nouveau_bo_move_m2mf (nouveau_boa0b5.c, nouveau_bo.c)
  private func move(_ backing: SystemBacking, _ address: VRAMAddress, toSystem: Bool)
    async
    throws(KernelError)
  {
    let direction: DMADirection = toSystem ? .fromDevice : .toDevice
    var mapped: [DMAAddress] = []
    defer { for address in mapped { dma.unmap(address, direction) } }
    mapped.reserveCapacity(backing.pages.count)
    for page in backing.pages { mapped.append(try dma.map(page.pfn, direction)) }
    let methods = channel.device.chip.copyMethods
    var launches: [Launch] = []
    for (page, host) in zip(backing.pages, mapped) {
      let vram = address + UInt64(page.index) << UInt64(PageSize.shift)
      if let last = launches.last, last.pages < methods.maximumCopyPages,
        last.vram + UInt64(last.pages * PageSize.bytes) == vram,
        last.host + UInt64(last.pages * PageSize.bytes) == host
      {
        launches[launches.count - 1].pages += 1
      } else {
        launches.append(Launch(vram: vram, host: host, pages: 1))
      }
    }
    var start = 0
    while start < launches.count {
      let batch = launches[start..<min(start + Self.batch, launches.count)]
      try await submit(batch, toSystem)
      start += batch.count
    }
  }

  private struct Launch {
    let vram: VRAMAddress
    let host: DMAAddress
    var pages: Int

    func run(_ toSystem: Bool) -> CopyPlan.Run {
      toSystem
        ? CopyPlan.Run(source: .vram(vram), destination: .host(host), pages: pages)
        : CopyPlan.Run(source: .host(host), destination: .vram(vram), pages: pages)
    }
  }

  /// One segment's launches, and their fence's end.
  private func submit(_ batch: ArraySlice<Launch>, _ toSystem: Bool) async throws(KernelError) {
    // A channel that died with an earlier copy is made usable again by the next one.
    if channel.isKilled { try await channel.rebuild() }
    try channel.device.kernel.failures.check(.copySubmit)
    var runs = batch.map { $0.run(toSystem) }
    var lease: CopyWindow.Lease?
    if let window = channel.copyWindow { (lease, runs) = try await window.map(runs) }
    let methods = channel.device.chip.copyMethods
    var failure: KernelError?
    do throws(KernelError) {
      let (_, fence) = try await channel.withFence(dwords: runs.count * methods.copyDwords) {
        writer in
        for run in runs {
          guard let source = run.source else { continue }
          methods.copyPages(&writer, from: source, to: run.destination, pages: run.pages)
        }
      }
      try await wait(fence)
    } catch {
      failure = error
    }
    if let lease { await channel.copyWindow?.unmap(lease) }
    if let failure { throw failure }
  }

  /// After a time-out or an error the engine may still be at work on a launch; its channel is
  /// stopped before the pages are given away.
  private func wait(_ fence: NouveauFence) async throws(KernelError) {
    do throws(KernelError) {
      try await fence.wait()
    } catch {
      await channel.quiesce(error)
      throw error
    }
  }
}
