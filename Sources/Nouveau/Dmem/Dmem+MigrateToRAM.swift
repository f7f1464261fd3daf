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
    do throws(KernelError) {
      try await beginOperation()
    } catch {
      // The driver leaves a device that sleeps and takes the pages out itself, once this fault lets
      // go of its own.
      if resumeError == nil { return .retry }
      // The page's bytes are in system memory, for when a resume succeeds.
      counters.faultErrors += 1
      return .sigbus(error)
    }
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
    let window =
      fault.order > 0
      ? hugeBlock(around: fault.address)
      : policy.faultAround.window(around: fault.address, in: area.range)
    let scratch = takeScratch()
    defer { spareScratch.append(scratch) }
    let request = MigrationRequest(
      window, owner: owner, select: fault.order > 0 ? selectionBack : .devicePrivate,
      faultPage: fault.page)
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

    scratch.wantedPlace = faultIndex
    await mm.makeRoom(pages: fault.order > 0 ? pagesWanted(pages.collected) : pages.collected)
    let isWhole = pages[source: 0].isCompound
    var allocationError: KernelError?
    var index = 0
    while index < pages.count {
      do throws(KernelError) {
        index += try planToRAM(from: index, pages, scratch)
      } catch {
        if index == faultIndex || isWhole { allocationError = error }
        index += 1
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
    let moved = movedPages(committed)
    counters.toRAM += UInt64(moved)
    committed.finalize()
    return .done
  }

  /// Makes RAM pages the destinations of device pages in a row, which begin at place `index`, and
  /// plans their copy; how many places that settles, at least 1. On an error nothing is left, and
  /// place `index` has no destination. Kernel: nouveau_dmem_copy_one
  func planToRAM(
    from index: Int, _ pages: borrowing CollectedPages, _ scratch: MigrationScratch
  ) throws(KernelError) -> Int {
    guard pages[source: index].migrates, let source = pages[source: index].pfn,
      let chunk = chunk(of: source)
    else { return 1 }
    if pages[source: index].isCompound {
      do throws(KernelError) {
        try planWholeToRAM(pages, source, chunk, scratch)
      } catch {
        let kind: MigrationReason.Kind = error == .ENOMEM ? .noSystemMemory : .notMappedForDevice
        pages.explain(from: index, MigrationReason(kind, error: error))
        throw error
      }
      return DmemChunk.pages
    }
    let inChunk = Int(chunk.range.end.rawValue - source.rawValue)
    let wanted = min(sourceRun(pages, from: index), inChunk)
    let frames: PFNRange
    do throws(KernelError) {
      frames = try mm.allocateLockedRun(upTo: wanted)
    } catch {
      pages.explain(from: index, MigrationReason(.noSystemMemory, error: error))
      throw error
    }
    do throws(KernelError) {
      let address = try device.pci.dma.map(frames.start, count: frames.count, .fromDevice)
      scratch.add(address, pages: frames.count, .fromDevice)
      scratch.plan.add(
        from: .vram(chunk.address(of: source)), to: .host(address), pages: frames.count)
      pages.setDestinations(index, frames)
      return frames.count
    } catch {
      for step in 0..<frames.count {
        mm.unlock(frames.start + step)
        mm.put(frames.start + step)
      }
      pages.explain(from: index, MigrationReason(.notMappedForDevice, error: error))
      throw error
    }
  }
}

extension CollectedPages {
  /// Tells why the pages from place `first` on stay, for which nothing was told yet.
  func explain(from first: Int, _ reason: MigrationReason) {
    guard explains else { return }
    for place in first..<count { explain(place, reason) }
  }

  /// Tells of the empty places that they have nothing to bring back.
  func explainEmptyPlaces() {
    guard explains else { return }
    for place in 0..<count where self[source: place].pfn == nil {
      explain(place, MigrationReason(.emptyPlace))
    }
  }
}
