import Base
import DMAFence
import DeviceSeam
import KernelRuntime
import LinuxMM

extension Dmem {
  /// Scratch for one migration.
  func takeScratch() -> MigrationScratch {
    #if DEBUG
      if defect == .staleArray, let scratch = spareScratch.popLast() { return scratch }
    #endif
    let scratch = spareScratch.popLast() ?? MigrationScratch(pages: PageSize.pagesPerHuge)
    scratch.reset()
    scratch.buffers.explains = false
    return scratch
  }

  /// Puts the planned copies and a fence behind them into the copy channel, all or nothing: when
  /// this throws, the engine has been told nothing.
  ///
  /// One kick for copies and fence, so that no error can come between them (checks.md A1: nouveau
  /// ignores that a fence could not be made, and waits on nothing).
  func submit(_ scratch: MigrationScratch) async throws(KernelError) -> NouveauFence {
    let runs = try await addressable(scratch)
    do throws(KernelError) {
      let fence = try await emit(runs, scratch)
      counters.launches += UInt64(runs.count)
      return fence
    } catch {
      await endLease(scratch)
      throw error
    }
  }

  /// The plan's runs with addresses that the copy class knows.
  private func addressable(_ scratch: MigrationScratch) async throws(KernelError)
    -> [CopyPlan.Run]
  {
    guard let window = channel.copyWindow else { return scratch.plan.runs }
    let (lease, runs) = try await window.map(scratch.plan.runs)
    scratch.lease = lease
    return runs
  }

  /// Gives the window's pages back: the copies are complete, or the channel is stopped.
  private func endLease(_ scratch: MigrationScratch) async {
    guard let window = channel.copyWindow, let lease = scratch.lease else { return }
    scratch.lease = nil
    await window.unmap(lease)
  }

  private func emit(
    _ runs: [CopyPlan.Run], _ scratch: MigrationScratch
  ) async throws(KernelError) -> NouveauFence {
    // A channel that died with an earlier batch is made usable again by the next one.
    if channel.isKilled { try await channel.rebuild() }
    scratch.generation = channel.generation
    let methods = device.chip.copyMethods
    let launchDwords = max(methods.copyDwords, methods.clearDwords)
    try kernel.failures.check(.copySubmit)
    return try await channel.withFence(dwords: runs.count * launchDwords) { writer in
      for run in runs {
        if let source = run.source {
          methods.copyPages(&writer, from: source, to: run.destination, pages: run.pages)
        } else {
          methods.clear(&writer, to: run.destination, bytes: run.bytes)
        }
      }
    }.fence
  }

  /// Waits until the copies before `fence` are complete; the reason when they aren't.
  ///
  /// After a time-out or an error the engine may still be at work on pages that are about to be
  /// used for something else, so the channel is stopped before this returns: no byte moves
  /// afterwards (checks.md A2, bugs.md L04).
  func waitForCopies(_ fence: NouveauFence, _ scratch: MigrationScratch) async -> KernelError? {
    let error = await stopUnlessComplete(fence, scratch)
    await endLease(scratch)
    return error
  }

  private func stopUnlessComplete(_ fence: NouveauFence, _ scratch: MigrationScratch) async
    -> KernelError?
  {
    do throws(KernelError) {
      try await fence.wait()
      return nil
    } catch {
      #if DEBUG
        if defect == .fenceResultIgnored { return nil }
      #endif
      // Unless another batch has stopped the channel already, and it lives again.
      if channel.generation == scratch.generation {
        do throws(KernelError) {
          try await channel.rebuild(error)
        } catch {
          // It stays dead; then it moves nothing, and the next submission says so.
        }
      }
      #if DEBUG
        if defect == .errorOnSignalledFence { fence.fence.setError(error) }
      #endif
      return error
    }
  }

  /// Submits the plan and waits for it. Nil when every planned copy is complete.
  func copyAndWait(_ scratch: MigrationScratch) async -> KernelError? {
    if scratch.plan.isEmpty { return nil }
    do throws(KernelError) {
      #if DEBUG
        if defect == .commitBeforeCopy { return try await submit(scratch).fence.error }
      #endif
      return await waitForCopies(try await submit(scratch), scratch)
    } catch {
      return error
    }
  }

  /// Takes the GPU's translations of a range away before its pages are copied.
  ///
  /// The driver lets the core's own notice of its migrations pass (bugs.md R65), and so has to do
  /// this itself, under the mutex that guards the GPU's page tables: otherwise a store by the GPU
  /// after the copy is lost (N20, checks.md A10). Other processes that share a page are told by the
  /// core when it unmaps them.
  ///
  /// LOCKING: takes the svmm mutex; sleeps until the GPU's TLB is clean.
  func stopDeviceAccess(of space: AddressSpace, _ range: VirtualRange) async {
    guard let svmm = processes.svmm(of: space) else { return }
    #if DEBUG
      if defect == .deviceAccessKept { return }
    #endif
    await svmm.unmap(range)
  }

  /// Takes back every destination of a migration whose copies didn't complete.
  func dropAllDestinations(_ pages: borrowing CollectedPages, _ scratch: MigrationScratch) {
    unmapAll(scratch)
    for index in 0..<pages.count {
      guard let destination = pages[destination: index].pfn else { continue }
      pages[destination: index] = .empty
      dropPage(destination)
    }
  }

  func unmapAll(_ scratch: MigrationScratch) { scratch.unmapAll(device.pci.dma) }
}
