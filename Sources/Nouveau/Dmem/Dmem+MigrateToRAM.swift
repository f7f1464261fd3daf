import Base
import DeviceSeam
import KernelRuntime
import LinuxMM

extension Dmem {
  /// A CPU touched a page that lives on the device: bring it back, and its neighbours if the policy
  /// says so.
  ///
  /// The access goes on only if the faulting page itself came back. Every other end leaves the page
  /// on the device with its bytes, for a later try:
  /// - no system page to be had: out of memory, decided by the core's rules (checks.md A4: nouveau
  ///   answers 0, and the CPU faults for ever);
  /// - the copy can't be made or doesn't complete: SIGBUS for this access. nouveau finalizes as if
  ///   the copy had worked and the page's bytes are gone (bugs.md N06, L01).
  ///
  /// LOCKING: called with the mmap lock held for reading, and a reference and the lock of the
  /// faulting page; takes the svmm mutex. Kernel: nouveau_dmem_migrate_to_ram
  func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome {
    counters.faults += 1
    await beginOperation()
    defer { endOperation() }
    let start = kernel.now
    let outcome = await bringBack(fault)
    if case .sigbus = outcome { counters.faultErrors += 1 }
    kernel.trace.span(
      .dmemFault, since: start, fault.address.rawValue, fault.page.rawValue, 1)
    return outcome
  }

  private func bringBack(_ fault: DeviceFault) async -> FaultOutcome {
    let space = fault.space
    guard let area = space.find(fault.address) else { return .sigbus(.EFAULT) }
    let window = policy.faultAround.window(around: fault.address, in: area.range)
    let scratch = takeScratch()
    defer { spareScratch.append(scratch) }
    let request = MigrationRequest(
      window, owner: owner, select: .devicePrivate, faultPage: fault.page)
    let pages: CollectedPages
    do throws(KernelError) {
      pages = try await space.migrateSetup(request, scratch.buffers)
    } catch {
      return error == .ENOMEM ? .outOfMemory : .sigbus(error)
    }
    // Somebody else moved or holds the page: the CPU retries, and finds what it is now.
    guard pages.collected > 0 else {
      pages.abandon()
      return .done
    }
    let faultIndex = Int((fault.address.pageBase - window.start) / UInt64(PageSize.bytes))
    await stopDeviceAccess(of: space, window)

    var allocationError: KernelError?
    for index in 0..<pages.count where pages[source: index].migrates {
      do throws(KernelError) {
        try planPageToRAM(index, pages, scratch)
      } catch {
        if index == faultIndex { allocationError = error }
      }
    }
    if let error = allocationError {
      // Without the faulting page the access can't go on, so the neighbours' copies are not made.
      dropAllDestinations(pages, scratch)
      pages.abandon()
      return error == .ENOMEM ? .outOfMemory : .sigbus(error)
    }
    if let error = await copyAndWait(scratch) {
      counters.copyFailures += UInt64(scratch.plan.pages)
      kernel.trace.record(.dmemCopyFailed, fault.address.rawValue, UInt64(error.errno))
      dropAllDestinations(pages, scratch)
      pages.abandon()
      return .sigbus(error)
    }
    unmapAll(scratch)
    let committed = await pages.commit()
    let moved = (0..<committed.count).count { committed[source: $0].migrates }
    counters.toRAM += UInt64(moved)
    committed.finalize()
    return .done
  }

  func planPageToRAM(
    _ index: Int, _ pages: borrowing CollectedPages, _ scratch: MigrationScratch
  ) throws(KernelError) {
    guard let source = pages[source: index].pfn, let chunk = chunk(of: source) else { return }
    try planCopyToRAM(index, from: chunk.address(of: source), pages, scratch)
  }

  /// Makes a RAM page the destination of one device page and plans the copy; on an error nothing is
  /// left. Kernel: nouveau_dmem_copy_one
  func planCopyToRAM(
    _ index: Int, from source: VRAMAddress, _ pages: borrowing CollectedPages,
    _ scratch: MigrationScratch
  ) throws(KernelError) {
    let destination = try mm.allocatePage()
    let locked = mm.tryLock(destination)
    invariant(locked, "a page fresh from the allocator is locked")
    do throws(KernelError) {
      let address = try device.pci.dma.map(destination, .fromDevice)
      scratch.add(index, address, .fromDevice)
      scratch.plan.add(from: .vram(source), to: .host(address))
      pages[destination: index] = MigratePFN(destination)
    } catch {
      mm.unlock(destination)
      mm.put(destination)
      throw error
    }
  }
}
