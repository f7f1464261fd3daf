import Base
import DeviceSeam
import KernelRuntime
import LinuxMM
import NVHardware

extension SVM {
  /// What becomes of an access that faulted.
  enum FaultAnswer {
    /// Its page has a translation: it is tried again.
    case replay
    /// It can't be allowed.
    case cancel
    /// The device is going to sleep: it stays parked, and the resume has it tried again.
    case leave
  }

  /// Gives the page of one fault a translation, and says what becomes of the access.
  ///
  /// The order is the contract's (bugs.md R50): sequence, mmap lock, `hmm_range_fault`, unlock, the
  /// driver's lock, check the sequence, program. Tries are bounded in time (R57), and each begins
  /// with a fresh request (N15).
  ///
  /// Kernel: nouveau_svm_fault, nouveau_range_fault
  func serve(_ fault: ReplayableFault) async -> FaultAnswer {
    guard let svmm = processes.svmm(instance: fault.instance), !svmm.isLeaving,
      let notifier = svmm.notifier
    else {
      counters.cancelled += 1
      return .cancel
    }
    let page = VirtualAddress(fault.address.pageBase.rawValue)
    guard VirtualRange.user.contains(page) else {
      counters.cancelled += 1
      return .cancel
    }
    let range = VirtualRange(start: page, pages: 1)
    let kernel = nouveau.kernel
    let deadline = kernel.now &+ Self.faultPatience
    while true {
      let outcome =
        fault.access == .ATOMIC
        ? await tryServeAtomic(svmm, notifier, range)
        : await tryServe(svmm, notifier, range, fault.access)
      switch outcome {
      case .served:
        counters.served += 1
        return .replay
      case .asleep:
        return .leave
      case .failed(let error):
        nouveau.device.log.error("svm", "GPU fault at \(page): \(error)")
        counters.cancelled += 1
        return .cancel
      case .changed:
        counters.retries += 1
        guard kernel.now < deadline else {
          counters.cancelled += 1
          return .cancel
        }
        await kernel.yield()
      }
    }
  }

  /// How one try ended.
  enum Service {
    case served
    case changed
    /// A suspend has begun: nothing may be mapped any more.
    case asleep
    case failed(KernelError)
  }

  func tryServe(
    _ svmm: SVMM, _ notifier: IntervalNotifier, _ range: VirtualRange,
    _ access: NV_PFAULT.AccessType
  ) async -> Service {
    let writes = access == .WRITE || access == .ATOMIC
    var request = HMMRange(
      notifier: notifier, sequence: await notifier.readBegin(), range: range, owner: dmem.owner,
      defaultFlags: HMMPFN.requestFault | (writes ? HMMPFN.requestWrite : 0))
    await svmm.space.mmapLock.lockShared()
    var failure: KernelError?
    do throws(KernelError) {
      try await svmm.space.hmmRangeFault(&request)
    } catch {
      failure = error
    }
    #if DEBUG
      if failure == .EBUSY && dmem.defect == .unlockSkipped { return .changed }
    #endif
    let mayWrite = svmm.space.find(range.start)?.protection.contains(.write) ?? false
    svmm.space.mmapLock.unlockShared()
    if let failure { return failure == .EBUSY ? .changed : .failed(failure) }
    if writes, let word = request.pfns.first, word.isValid, !word.isWritable {
      return mayWrite ? await bringBackForWriting(svmm, range) : .failed(.EPERM)
    }
    #if DEBUG
      if dmem.defect == .sequenceTakenLate { request.sequence = await notifier.readBegin() }
    #endif
    return await program(svmm, notifier, request, access)
  }

  /// One's own device page is reported as it is, even when the request was to write and its entry
  /// forbids that (after a fork, or `mprotect` there and back). Mapping it so would have the access
  /// fault for ever; in RAM the next try finds out who else uses it.
  // QUIRK(nouveau): the kernel maps it read-only and replays, again and again.
  private func bringBackForWriting(_ svmm: SVMM, _ range: VirtualRange) async -> Service {
    // Waiting for a resume here would keep a teardown waiting for this worker.
    if dmem.isAsleep { return .asleep }
    do throws(KernelError) {
      _ = try await dmem.migrateToRAM(svmm.space, range)
      return .changed
    } catch {
      return .failed(error)
    }
  }

  /// Writes one translation, unless the CPU's page tables have changed since they were read.
  ///
  /// LOCKING: takes the svmm mutex, which the notifier takes as well (R51), and under which a
  /// suspend takes every translation away.
  private func program(
    _ svmm: SVMM, _ notifier: IntervalNotifier, _ request: HMMRange,
    _ access: NV_PFAULT.AccessType
  ) async -> Service {
    #if DEBUG
      let kept = dmem.defect == .referenceKept ? request.pfns.first?.pfn : nil
      if let kept { dmem.mm.get(kept) }
    #endif
    await svmm.mutex.lock()
    defer { svmm.mutex.unlock() }
    if dmem.isAsleep { return .asleep }
    guard !notifier.readRetry(request.sequence) else { return .changed }
    #if DEBUG
      if let kept { dmem.mm.put(kept) }
    #endif
    guard let word = request.pfns.first, let page = word.pfn else { return .failed(.EFAULT) }
    let address = request.range.start
    // A fault on a page that is mapped asks for more than its entry allows.
    await svmm.unmapLocked(request.range)
    let gpuAddress = GPUVirtualAddress(address.rawValue)
    do throws(KernelError) {
      if let chunk = dmem.chunk(of: page) {
        // After a resume that failed the page has no place in VRAM.
        guard dmem.isActive else { throw dmem.resumeError ?? .ENODEV }
        let entry = GPUPTE.vram(chunk.address(of: page), writable: word.isWritable)
        try await svmm.gpuSpace.setPages([entry], at: gpuAddress)
        svmm.mirrored.insert(address.page, nil)
      } else {
        // Atomics over the bus need the page alone: the next try takes it.
        guard access != .ATOMIC else { return .changed }
        let bus = try svmm.device.pci.dma.map(page, .bidirectional)
        do throws(KernelError) {
          let entry = GPUPTE.host(bus, writable: word.isWritable, atomic: false)
          try await svmm.gpuSpace.setPages([entry], at: gpuAddress)
        } catch {
          svmm.device.pci.dma.unmap(bus, .bidirectional)
          throw error
        }
        #if DEBUG
          if dmem.defect == .unmapMissed {
            svmm.mirrored.insert(address.page, nil)
            return .served
          }
        #endif
        svmm.mirrored.insert(address.page, bus)
        // The GPU's stores leave no mark in the CPU's entry, which may be writable and clean, as
        // after a read of a page in swap space: reclaim would take the old copy for good.
        // QUIRK(nouveau): the kernel doesn't; xe does, right behind hmm_range_fault.
        if word.isWritable { dmem.mm.markDirty(page) }
      }
    } catch {
      return .failed(error)
    }
    return .served
  }
}
