import Base
import DeviceSeam
import KernelRuntime
import LinuxMM
import NVHardware

extension SVM {
  /// Gives the page of an atomic's fault a translation that allows atomics.
  ///
  /// A page of RAM is taken for the device alone first: the CPU's entry goes, and a touch of the
  /// CPU takes the device's translation away before it gets the page back. A page in the GPU's own
  /// VRAM stays there.
  ///
  /// QUIRK(nouveau): the kernel brings a page out of VRAM first, and cancels the fault where the
  /// page is locked by another at the moment.
  ///
  /// Kernel: nouveau_atomic_range_fault
  func tryServeAtomic(
    _ svmm: SVMM, _ notifier: IntervalNotifier, _ range: VirtualRange
  ) async -> Service {
    if case .device(let page) = svmm.space.entry(at: range.start).location,
      dmem.chunk(of: page) != nil
    {
      return await tryServe(svmm, notifier, range, .ATOMIC)
    }
    let sequence = await notifier.readBegin()
    let pages: [PFN?]
    await svmm.space.mmapLock.lockShared()
    do throws(KernelError) {
      pages = try await svmm.space.makeDeviceExclusive(range, owner: dmem.owner)
    } catch {
      svmm.space.mmapLock.unlockShared()
      return .failed(error)
    }
    svmm.space.mmapLock.unlockShared()
    guard let page = pages.first ?? nil else { return .changed }
    // Lock and reference keep the page the device's; they go on every path (N16).
    let service = await programAtomic(svmm, notifier, sequence, page, range)
    dmem.mm.unlock(page)
    dmem.mm.put(page)
    return service
  }

  /// Writes the translation, unless the CPU's page tables have changed meanwhile.
  ///
  /// LOCKING: takes the svmm mutex; the page is locked by the caller.
  private func programAtomic(
    _ svmm: SVMM, _ notifier: IntervalNotifier, _ sequence: UInt64, _ page: PFN,
    _ range: VirtualRange
  ) async -> Service {
    await svmm.mutex.lock()
    defer { svmm.mutex.unlock() }
    if dmem.isAsleep { return .asleep }
    guard !notifier.readRetry(sequence) else { return .changed }
    await svmm.unmapLocked(range)
    do throws(KernelError) {
      let bus = try svmm.device.pci.dma.map(page, .bidirectional)
      do throws(KernelError) {
        let entry = GPUPTE.host(bus, writable: true, atomic: true)
        try await svmm.gpuSpace.setPages([entry], at: GPUVirtualAddress(range.start.rawValue))
      } catch {
        svmm.device.pci.dma.unmap(bus, .bidirectional)
        throw error
      }
      svmm.mirrored.insert(range.start.page, bus)
    } catch {
      return .failed(error)
    }
    return .served
  }
}
