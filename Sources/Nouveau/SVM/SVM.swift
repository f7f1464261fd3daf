public import Base
import DeviceSeam
import KernelRuntime
package import LinuxMM
import NVHardware

/// Shared virtual memory on one GPU: processes whose addresses the GPU uses as they are, and the
/// device memory that their pages may live in.
///
/// Kernel: struct nouveau_svm (nouveau_svm.c), with struct nouveau_dmem beside it
public final class SVM: DeviceClient {
  let nouveau: NouveauDevice
  package let processes = SVMTable()
  package let dmem: Dmem
  /// GPU faults are served here, one batch after the other.
  private let faultQueue: WorkQueue
  private var faultWork: Work?
  private(set) var faultBuffer: FaultBuffer?
  /// The driver leaves: nobody opens the device any more.
  private var isReleasing = false
  public package(set) var counters = SVMCounters()
  /// How long a GPU fault is tried again while the CPU's page tables change under it.
  /// SOURCE: include/linux/hmm.h, HMM_RANGE_DEFAULT_TIMEOUT, 1000 ms
  static let faultPatience: UInt64 = 1_000_000_000

  private init(_ nouveau: NouveauDevice, _ policy: DmemPolicy) {
    self.nouveau = nouveau
    dmem = Dmem(
      nouveau.device, nouveau.buffers, nouveau.copyChannel, nouveau.mm, processes, policy: policy)
    faultQueue = WorkQueue(nouveau.kernel, nouveau.device.named("svm faults"))
  }

  /// Takes device memory and the fault buffer of a device that has been brought up.
  ///
  /// Kernel: nouveau_svm_init, nouveau_dmem_init
  public static func start(
    on nouveau: NouveauDevice, policy: DmemPolicy = DmemPolicy()
  ) async throws(KernelError) -> SVM {
    let svm = SVM(nouveau, policy)
    try await svm.openFaultBuffer()
    nouveau.register(svm)
    if let group = nouveau.options.peers { svm.dmem.join(group, nouveau.bar1) }
    return svm
  }

  private func openFaultBuffer() async throws(KernelError) {
    // Fences of work that stands still at a page fault wait for what is done here. The copies that
    // serve it are of a channel without such faults, so that waiting for them is no circle (R94).
    let kernel = nouveau.kernel
    let work = Work("svm fault") { [unowned self] in
      await kernel.within(.faultService) { () async in await serveFaults() }
    }
    faultWork = work
    faultBuffer = try await nouveau.openFaultBuffer { [unowned self] in faultQueue.queue(work) }
  }

  // MARK: processes

  /// Lets a process use the device: from now on the GPU follows its page tables.
  ///
  /// `EBUSY` when it does already; everything is taken back when a step fails (bugs.md L12). Who is
  /// about to leave is waited for.
  /// Kernel: nouveau_svmm_init
  package func bind(_ space: AddressSpace) async throws(KernelError) -> SVMM {
    while let old = processes.svmm(of: space) {
      guard old.isLeaving else { throw .EBUSY }
      await old.waitUntilGone()
    }
    guard nouveau.state == .running, !isReleasing, !nouveau.isLost else { throw .ENODEV }
    // A process's own addresses fill the space; the driver manages none of them.
    let empty = GPUVirtualAddress(0)..<GPUVirtualAddress(0)
    let gpuSpace = try GPUAddressSpace(
      nouveau.mmu, "svm \(space.name)", managed: empty, isReplayable: true)
    do throws(KernelError) {
      let instance = try nouveau.instanceMemory.allocate(bytes: NV_RAMIN.byteCount)
      gpuSpace.join(instance)
      let svmm = SVMM(space, gpuSpace, instance, nouveau.device, dmem.owner)
      do throws(KernelError) {
        try svmm.startFollowing()
      } catch {
        nouveau.instanceMemory.free(instance)
        throw error
      }
      processes.add(svmm)
      return svmm
    } catch {
      await gpuSpace.destroy()
      throw error
    }
  }

  /// Ends a process's use of the device. Its pages stay where they are: a CPU fault still brings
  /// them back (bugs.md L10, T04).
  ///
  /// The fault worker is drained first, because it may be serving this process (N17). What the
  /// process still runs on the GPU ends before the memory goes that the GPU finds its tables by: an
  /// access completes or its fault is cancelled, a migration ends; on a device that sleeps, after
  /// the resume. A second call waits for the first.
  /// Kernel: nouveau_svmm_fini, behind the end of the channels (nouveau_abi16_fini)
  package func unbind(_ svmm: SVMM) async {
    guard !svmm.isLeaving else { return await svmm.waitUntilGone() }
    svmm.isLeaving = true
    await faultQueue.flush()
    await svmm.waitForWork()
    await svmm.stopFollowing()
    await svmm.gpuSpace.destroy()
    nouveau.instanceMemory.free(svmm.instance)
    processes.remove(svmm)
    svmm.leave()
  }

  // MARK: the device's life

  package func suspend() async throws(KernelError) {
    await faultQueue.flush()
    await dmem.suspend(processes.all)
  }

  package func resume() async throws(KernelError) {
    var failure: KernelError?
    do throws(KernelError) {
      try await dmem.resume()
    } catch {
      dmem.resumeFailed(error)
      failure = error
    }
    // Accesses that faulted before the suspend fault again. Those to pages that have no place in
    // VRAM are cancelled.
    await faultBuffer?.replay()
    faultBuffer?.rearm()
    if let failure { throw failure }
  }

  package func resumeFailed(_ error: KernelError) { dmem.resumeFailed(error) }

  /// Sleeps until what the driver does by itself has ended: recovery of channels, faults that it
  /// serves, and work of device memory. Between its steps the driver's books and the GPU's page
  /// tables may differ.
  package func quiesce() async {
    if !nouveau.fifo.recoveryQueue.isIdle { await nouveau.fifo.recoveryQueue.flush() }
    if !faultQueue.isIdle { await faultQueue.flush() }
    if !dmem.housekeeping.isIdle { await dmem.housekeeping.flush() }
  }

  /// Everything comes back to RAM before the device goes; what a lost device held becomes poison.
  package func release() async {
    isReleasing = true
    dmem.close()
    dmem.leavePeers()
    for svmm in processes.all { await unbind(svmm) }
    var result = await dmem.evictAll(isForced: true)
    if result.left > 0 && dmem.operations > 0 {
      // A migration may hold pages for as long as a fence is waited for, which is eviction's whole
      // patience; what it leaves on the device comes now.
      await dmem.waitForOperations()
      result = await dmem.evictAll(isForced: true)
    }
    if result.left > 0 {
      nouveau.device.log.error("dmem", "\(result.left) pages are still in use at teardown")
    }
    await faultQueue.flush()
    await nouveau.closeFaultBuffer()
    faultBuffer = nil
    faultWork = nil
    dmem.leave()
  }

  // MARK: faults

  /// Reads the buffer empty, serving what is there; one replay for each batch.
  ///
  /// Kernel: nouveau_svm_fault
  private func serveFaults() async {
    guard let buffer = faultBuffer else { return }
    while true {
      // SOURCE: NVIDIA's uvm serves batches of 256.
      let batch = buffer.takeFaults(limit: 256)
      if batch.isEmpty { break }
      counters.packets += UInt64(batch.count)
      var served = false
      for fault in merged(batch) {
        switch await serve(fault) {
        case .replay: served = true
        case .cancel: await buffer.cancel(fault)
        case .leave: break
        }
      }
      if served {
        counters.replays += 1
        await buffer.replay()
      }
    }
    buffer.rearm()
  }

  /// One fault for each page and process, with the most that was asked for: a write stands for the
  /// reads beside it (bugs.md L09), and each page is judged by itself (L08).
  private func merged(_ batch: [ReplayableFault]) -> [ReplayableFault] {
    let sorted = batch.enumerated().sorted { a, b in
      let left = (a.element.instance, a.element.address.pageBase, -rank(a.element.access), a.offset)
      let right = (
        b.element.instance, b.element.address.pageBase, -rank(b.element.access), b.offset
      )
      return left < right
    }.map(\.element)
    var merged: [ReplayableFault] = []
    for fault in sorted {
      if let last = merged.last, last.instance == fault.instance,
        last.address.pageBase == fault.address.pageBase
      {
        continue
      }
      merged.append(fault)
    }
    return merged
  }

  private func rank(_ access: NV_PFAULT.AccessType) -> Int {
    switch access {
    case .PREFETCH: 0
    case .READ: 1
    case .WRITE: 2
    case .ATOMIC: 3
    }
  }
}

/// What the GPU's faults came to.
public struct SVMCounters: Hashable, Sendable {
  /// Packets read.
  public var packets: UInt64 = 0
  /// Pages given a translation.
  public var served: UInt64 = 0
  /// Faults that can't be served: their access was cancelled.
  public var cancelled: UInt64 = 0
  /// Replays of all parked accesses.
  public var replays: UInt64 = 0
  /// Tries that a change of the CPU's page tables made vain.
  public var retries: UInt64 = 0

  public init() {}
}
