import Base
package import DMAFence
import DequeModule
import KernelRuntime
import NVHardware

/// The fences of one channel, in order (`struct nouveau_fence_chan` with its `nv84_fence_chan`).
///
/// The hardware writes the number of the last finished fence to a word; fences up to it, in the
/// sense of a signed difference, are done.
///
/// LOCKING: everything but creation and destruction is atomic: it runs in tasks and in the
/// interrupt's bottom half alike.
package final class FenceContext {
  let device: NVKMDevice
  let storage: FenceStorage
  private let fifo: FIFO
  private let space: GPUAddressSpace
  private let id: UInt32
  /// The fence core's number of this timeline.
  package let context: UInt64
  package let name: String
  /// Where the channel sees its word.
  let wordAddress: GPUVirtualAddress
  private let mapped: GPUVirtualAddress
  private let row: TraceRow
  weak var channel: Channel?

  /// The number of the last fence emitted; what the word held at first.
  package private(set) var sequence: UInt32
  /// Emitted and not yet known to be done, oldest first.
  private var pending: Deque<Fence> = []
  /// Fences emitted and ended since the context was made; what is in neither is lost. For audits.
  var emittedCount: UInt64 = 0
  private(set) var endedCount: UInt64 = 0
  /// Pending fences that somebody waits for: while above 0 the interrupt is wanted.
  private(set) var notifyCount = 0
  /// Waits for interrupts other than fences', such as a GPU fault's; see ``beginWatch()``.
  private var watchCount = 0
  private var watchEnd: UInt64 = 0
  private var killError: KernelError?
  /// The last impossible number found in the word, so that it is reported once.
  private var wrongWord: UInt32?
  private var isDead = false

  /// Runs after an interrupt. An agent of its own: neither a busy work queue nor a sleeping worker
  /// can keep it from running (F05), and once retired it never runs again (F07).
  private var uevent: Agent?
  /// Looks again when an interrupt was early or is overdue (F08).
  private var recheck: Agent?
  private var armed: TimerHandle?
  private var armedDelay: UInt64 = 0

  /// After this long without an interrupt the word is looked at anyway; nanoseconds.
  static let overdue: UInt64 = 1_000_000
  /// When an interrupt found nothing done, the word is looked at after this long, then twice as
  /// long.
  static let early: UInt64 = 1_000
  private static let recheckCap: UInt64 = 1_000_000_000

  /// Kernel: nouveau_fence_context_new, nv84_fence_context_new (nouveau_fence.c, nv84_fence.c)
  init(
    _ device: NVKMDevice, _ storage: FenceStorage, _ fifo: FIFO, id: UInt32, name: String,
    space: GPUAddressSpace
  ) async throws(KernelError) {
    self.device = device
    self.storage = storage
    self.fifo = fifo
    self.space = space
    self.id = id
    self.name = device.named(name)
    context = storage.contextBase + UInt64(id)
    let base = try await storage.map(into: space)
    mapped = base
    wordAddress = base + UInt64(id) * FenceStorage.bytesPerChannel
    let name = self.name
    row = device.kernel.trace.row("fence \(name)", in: .fences)
    sequence = storage.read(id)
    uevent = device.kernel.agent("fence uevent \(name)") { [unowned self] in runUevent() }
    recheck = device.kernel.agent("fence recheck \(name)") { [unowned self] in runRecheck() }
  }

  /// No interrupt and no timer reaches the context any more.
  ///
  /// Kernel: nouveau_fence_context_del, its disable_work_sync and nvif_event_dtor (nouveau_fence.c)
  func stopEvents() {
    armed?.cancel()
    armed = nil
    uevent?.retire()
    recheck?.retire()
    uevent = nil
    recheck = nil
  }

  /// Kernel: nv84_fence_context_del, nouveau_fence_context_del (nv84_fence.c, nouveau_fence.c)
  func destroy() async {
    invariant(pending.isEmpty, "fence context \(name) goes with \(pending.count) pending fences")
    stopEvents()
    isDead = true
    killError = .ENODEV
    // A later channel of the same id goes on from here.
    if !device.isLost { storage.write(sequence, id) }
    await storage.unmap(mapped, from: space)
  }

  /// Whether every fence is known to be done, after looking.
  package var isIdle: Bool {
    update()
    return pending.isEmpty
  }
  package var pendingCount: Int { pending.count }
  /// The numbers of fences that nobody has ended, oldest first; without looking.
  var pendingNumbers: [UInt64] { pending.map(\.seqno) }
  /// The id of the channel whose fences these are.
  var channelID: UInt32 { id }

  // MARK: emitting

  /// SOURCE: nvc0_fence.c, nvc0_fence_emit32: RELEASE, WFI, 16 bytes; the first is bit 1, the
  /// others are zeros.
  private static let release =
    ClassC06F.SEMAPHORED_OPERATION.make32(ClassC06F.SEMAPHORED_OPERATION_RELEASE)
    | ClassC06F.SEMAPHORED_RELEASE_WFI.make32(ClassC06F.SEMAPHORED_RELEASE_WFI_EN)
    | ClassC06F.SEMAPHORED_RELEASE_SIZE.make32(ClassC06F.SEMAPHORED_RELEASE_SIZE_16BYTE)
  /// Dwords of ``emit(_:)``.
  static let dwords = 6

  /// Writes the release and the interrupt behind what is in `writer`, and puts the fence on the
  /// list. The caller hands the writer to the host before it sleeps, so no kill falls between
  /// (F02).
  ///
  /// Kernel: nvc0_fence_emit32, nouveau_fence_emit (nvc0_fence.c, nouveau_fence.c)
  @inline(__always)
  func emit(_ writer: inout PushWriter) -> Fence {
    sequence &+= 1
    emittedCount &+= 1
    let fence = Fence(
      device.kernel, operations: self, context: context, seqno: UInt64(sequence), row: row,
      isBehindFaults: space.isReplayable)
    writer.begin(0, ClassC06F.SEMAPHOREA, count: 5)
    writer.word(UInt32(truncatingIfNeeded: wordAddress.rawValue >> 32))
    writer.word(UInt32(truncatingIfNeeded: wordAddress.rawValue))
    writer.word(sequence)
    writer.word(Self.release)
    writer.word(0)
    pending.append(fence)
    return fence
  }

  // MARK: learning what is done

  /// Whether the number `sequence` covers a fence.
  @inline(__always)
  private func isDone(_ fence: Fence, by word: UInt32) -> Bool {
    Int32(bitPattern: word &- UInt32(truncatingIfNeeded: fence.seqno)) >= 0
  }

  /// The word, or nil when it can't be believed: a device that is gone reads as all ones, and a
  /// number that was never emitted says nothing of the work before it.
  private func trustedWord() -> UInt32? {
    let word = storage.read(id)
    if word == .max && !device.checkPresence() { return nil }
    guard Int32(bitPattern: word &- sequence) <= 0 else {
      if wrongWord != word {
        wrongWord = word
        device.log.error("fence", "\(name): the word says \(word), emitted were \(sequence)")
      }
      return nil
    }
    return word
  }

  /// Whether the word covers a number, so that the next look signals its fence; for audits.
  func covers(_ seqno: UInt64) -> Bool {
    Int32(bitPattern: storage.read(id) &- UInt32(truncatingIfNeeded: seqno)) >= 0
  }

  /// Signals every fence that the word covers, in order; true when there was one.
  ///
  /// Kernel: nouveau_fence_update, nouveau_fence_signal (nouveau_fence.c)
  @discardableResult
  package func update() -> Bool {
    guard let first = pending.first, let word = trustedWord(), isDone(first, by: word),
      !hasEngineError
    else { return false }
    let section = device.kernel.beginSignalling()
    while let fence = pending.first, isDone(fence, by: word) {
      pending.removeFirst()
      endedCount &+= 1
      if fence.isSignalingEnabled { notifyCount -= 1 }
      fence.signal()
    }
    device.kernel.endSignalling(section)
    return true
  }

  /// An engine of the channel's runlist has an interrupt pending that isn't handled yet: a release
  /// behind failed work may have been written. Looked at only when a fence seems done, so it costs
  /// one read a completion.
  private var hasEngineError: Bool {
    guard let channel else { return false }
    let engines = channel.runlist.interruptMask
    return device.registers.read(NV_PMC.INTR(0)) & engines != 0
  }

  // MARK: events

  /// The interrupt says that some channel has reached a fence. Atomic context.
  ///
  /// Kernel: nouveau_fence_wait_uevent_handler (nouveau_fence.c)
  @inline(__always)
  func notify() {
    if notifyCount > 0 { uevent?.kick() }
  }

  /// Kernel: nouveau_fence_uevent_work (nouveau_fence.c)
  private func runUevent() {
    if update() || notifyCount == 0 { return }
    // The interrupt may have overtaken the store that it announces: look again soon.
    if armed == nil || armedDelay >= Self.overdue { armRecheck(Self.early) }
  }

  private func armRecheck(_ delay: UInt64) {
    armed?.cancel()
    armed = recheck?.kick(after: delay)
    armedDelay = delay
  }

  /// Does what an interrupt would have done, in case it was lost.
  private func runRecheck() {
    armed = nil
    guard notifyCount > 0 || isWatching else { return }
    device.serviceInterrupts()
    let hasProgress = update()
    guard notifyCount > 0 || isWatching, !device.isLost else { return }
    armRecheck(hasProgress ? Self.overdue : min(2 * armedDelay, Self.recheckCap))
  }

  // MARK: interrupts that no fence announces

  /// The first look of a watch comes later than an overdue fence's, the last after as long as a
  /// fence is waited for: a watch is bounded.
  private static let firstWatch: UInt64 = 2 * overdue

  private var isWatching: Bool { watchCount > 0 && device.kernel.now < watchEnd }

  /// Has interrupts looked for now and then, in case the only one that tells of an event is lost.
  package func beginWatch() {
    watchCount += 1
    watchEnd = device.kernel.now &+ NouveauFence.limit
    if armed == nil { armRecheck(Self.firstWatch) }
  }

  /// Ends what ``beginWatch()`` began.
  package func endWatch() {
    watchCount -= 1
    guard watchCount == 0 && notifyCount == 0 else { return }
    armed?.cancel()
    armed = nil
  }

  // MARK: ending

  /// Ends every pending fence with `error`, but those that are done by now; refuses new ones.
  /// Atomic context.
  ///
  /// Kernel: nouveau_fence_context_kill (nouveau_fence.c)
  func kill(_ error: KernelError, trustsMemory: Bool) {
    let section = device.kernel.beginSignalling()
    killError = error
    // Fences that are done stay without an error although nobody has looked yet (F03), unless an
    // engine has an error to report that may be theirs.
    if trustsMemory && !device.isLost && !hasEngineError, let word = trustedWord() {
      while let fence = pending.first, isDone(fence, by: word) { end(fence, nil) }
    }
    while let fence = pending.first { end(fence, error) }
    device.kernel.endSignalling(section)
  }

  private func end(_ fence: Fence, _ error: KernelError?) {
    pending.removeFirst()
    endedCount &+= 1
    if fence.isSignalingEnabled { notifyCount -= 1 }
    if let error, !fence.isSignaledFlag { fence.setError(error) }
    fence.signal()
  }

  /// Goes on from another number. Only while nothing is pending.
  ///
  /// The numbers wrap after 4 billion fences; this is how a test gets there.
  package func goOn(from number: UInt32) {
    invariant(isIdle, "fence context \(name) can't change its number with fences pending")
    sequence = number
    storage.write(number, id)
  }

  /// Takes emits again after the channel was rebuilt: the word goes on where the numbers stand.
  func revive() {
    storage.write(sequence, id)
    killError = nil
  }
}

extension FenceContext: FenceOperations {
  /// Kernel: nouveau_fence_get_get_driver_name (nouveau_fence.c)
  package var driverName: String { "nouveau" }
  /// Kernel: nouveau_fence_get_timeline_name (nouveau_fence.c)
  package var timelineName: String { isDead ? "dead channel" : name }

  /// Kernel: nouveau_fence_enable_signaling (nouveau_fence.c)
  package func enableSignaling(_ fence: Fence) -> Bool {
    notifyCount += 1
    fifo.allowNonStall()
    if armed == nil || armedDelay > Self.overdue { armRecheck(Self.overdue) }
    // The interrupt may have come before it was wanted.
    return !isSignaled(fence)
  }

  /// Kernel: nouveau_fence_is_signaled (nouveau_fence.c)
  package func isSignaled(_ fence: Fence) -> Bool {
    guard killError == nil, let word = trustedWord() else { return false }
    return isDone(fence, by: word) && !hasEngineError
  }
}
