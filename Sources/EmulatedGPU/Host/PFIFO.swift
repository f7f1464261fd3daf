import Base
import KernelRuntime
import NVHardware

/// The host: channels, runlists and the PBDMAs that serve them.
final class PFIFO {
  let board: Board
  let mmu: MMU
  let interrupts: HostInterrupts
  let reports: FaultReports
  let pbdmas: [PBDMA]
  /// By channel id, as far as ids were used.
  private var channels: [Channel?] = []
  /// RUNLIST_BASE, and what each runlist was last given.
  var runlistBase: UInt32 = 0
  private var submitted: [(base: UInt32, length: UInt32)]
  private(set) var schedDisable: UInt32 = 0
  private var preemptWord: UInt32 = 0
  /// Where USERD lies in BAR1, as written (BAR1_BASE).
  var userdBase: UInt32 = 0
  var engineTimeout: UInt32 = 0x3fff_ffff
  private var timeout: TimerHandle?

  init(
    _ board: Board, _ mmu: MMU, _ interrupts: HostInterrupts, _ reports: FaultReports,
    _ pbdmas: [PBDMA]
  ) {
    self.board = board
    self.mmu = mmu
    self.interrupts = interrupts
    self.reports = reports
    self.pbdmas = pbdmas
    submitted = Array(repeating: (0, 0), count: pbdmas.count)
  }

  func retire() {
    timeout?.cancel()
    for pbdma in pbdmas { pbdma.retire() }
  }

  // MARK: channels

  func existing(_ id: UInt32) -> Channel? {
    id < UInt32(channels.count) ? channels[Int(id)] : nil
  }

  func channel(_ id: UInt32) -> Channel {
    while channels.count <= Int(id) { channels.append(nil) }
    if let channel = channels[Int(id)] { return channel }
    let channel = Channel(id: id)
    channels[Int(id)] = channel
    return channel
  }

  /// Writes CHANNEL_INST: binds or unbinds.
  func bind(_ id: UInt32, _ word: UInt32) {
    let channel = channel(id)
    let binds = NV_PCCSR.CHANNEL_INST_BIND.get(word) == 1
    if binds, channel.isBound {
      interrupts.raiseBindError(NV_PFIFO.BIND_ERROR_NOT_UNBOUND)
      return
    }
    if !binds, channel.isBound, channel.isLoaded {
      interrupts.raiseBindError(NV_PFIFO.BIND_ERROR_UNBIND_WHILE_RUNNING)
      return
    }
    if binds, Aperture(target: NV_PCCSR.CHANNEL_INST_TARGET.get(word)) == nil {
      interrupts.raiseBindError(NV_PFIFO.BIND_ERROR_INVALID_CTX_TGT)
      return
    }
    channel.instanceWord = word
    if binds { channel.resetHostState() } else { channel.context = nil }
  }

  /// Writes CHANNEL: sets, clears and acknowledges.
  func control(_ id: UInt32, _ word: UInt32) {
    let channel = channel(id)
    channel.runlist = NV_PCCSR.CHANNEL_RUNLIST.get(word)
    if NV_PCCSR.CHANNEL_ENABLE_SET.get(word) == 1 {
      channel.isEnabled = true
      channel.isRung = true
      kick(channel)
    }
    if NV_PCCSR.CHANNEL_ENABLE_CLR.get(word) == 1 { channel.isEnabled = false }
    if NV_PCCSR.CHANNEL_ENG_FAULTED.get(word) == 1 || NV_PCCSR.CHANNEL_PBDMA_FAULTED.get(word) == 1
    {
      channel.isFaulted = false
      kick(channel)
    }
  }

  func status(_ id: UInt32) -> UInt32 {
    guard let channel = existing(id) else { return 0 }
    typealias C = NV_PCCSR
    var state = C.CHANNEL_STATUS_IDLE
    if channel.isLoaded {
      state =
        engine(holding: channel) == nil
        ? C.CHANNEL_STATUS_ON_PBDMA : C.CHANNEL_STATUS_ON_PBDMA_AND_ENG
    } else if engine(holding: channel) != nil {
      state = C.CHANNEL_STATUS_ON_ENG
    } else if channel.acquireStart != nil {
      state = C.CHANNEL_STATUS_PENDING_ACQUIRE
    } else if channel.isRunnable {
      state = C.CHANNEL_STATUS_PENDING
    }
    return C.CHANNEL_ENABLE.make32(channel.isEnabled ? 1 : 0)
      | C.CHANNEL_RUNLIST.make32(channel.runlist) | C.CHANNEL_STATUS.make32(state)
      | C.CHANNEL_ENG_FAULTED.make32(channel.isFaulted ? 1 : 0)
      | C.CHANNEL_BUSY.make32(state == C.CHANNEL_STATUS_IDLE ? 0 : 1)
  }

  private func engine(holding channel: Channel) -> (any HostEngine)? {
    for pbdma in pbdmas where pbdma.engine?.channel === channel { return pbdma.engine }
    return nil
  }

  /// A doorbell: the driver wrote GP_PUT. Passes `gpu.device_lost`; true when the device is to go.
  func ring(_ id: UInt32) {
    guard let channel = existing(id), channel.isBound else { return }
    channel.isRung = true
    kick(channel, after: board.cost.fetchLatency)
  }

  private func kick(_ channel: Channel, after delay: UInt64 = 0) {
    for pbdma in pbdmas where pbdma.runlist.contains(where: { $0.channel === channel }) {
      pbdma.wake(after: delay)
    }
  }

  /// An engine wrote a semaphore: channels that wait for one look again.
  func semaphoreWritten() {
    for pbdma in pbdmas {
      var isWaiting = false
      for item in pbdma.runlist where item.channel.acquireStart != nil {
        item.channel.isAcquirePoked = true
        isWaiting = true
      }
      if isWaiting { pbdma.agent.kick() }
    }
  }

  // MARK: runlists

  /// Writes RUNLIST: reads `length` entries from the base and hands them to the runlist's PBDMA.
  func submit(_ word: UInt32) {
    let id = NV_PFIFO.RUNLIST_ID.get(word)
    let length = NV_PFIFO.RUNLIST_LENGTH.get(word)
    guard let pbdma = pbdmas.first(where: { $0.runlistID == id }) else {
      board.reportUnimplemented(
        .registerWrite, UInt64(NV_PFIFO.RUNLIST), UInt64(word), "runlist of no engine")
      return
    }
    guard let items = readRunlist(length) else {
      interrupts.raiseSchedError(NV_PFIFO.SCHED_ERROR_BAD_TSG)
      return
    }
    submitted[Int(pbdma.index)] = (runlistBase, length)
    pbdma.submit(items)
  }

  /// Nil for a list that is malformed or lies nowhere.
  private func readRunlist(_ length: UInt32) -> [PBDMA.RunlistItem]? {
    typealias R = NV_RAMRL
    guard let aperture = Aperture(target: NV_PFIFO.RUNLIST_BASE_TARGET.get(runlistBase)) else {
      return nil
    }
    let base = Place(
      aperture: aperture, address: UInt64(NV_PFIFO.RUNLIST_BASE_PTR.get(runlistBase)) << 12)
    var items: [PBDMA.RunlistItem] = []
    var group: UInt32?
    var left: UInt32 = 0
    var slice: UInt64 = 0
    for index in 0..<UInt64(length) {
      let entry: UInt64
      do throws(BusFault) {
        entry = try board.load(
          UInt64.self, at: base.advanced(by: index * UInt64(R.ENTRY_byteCount)))
      } catch {
        return nil
      }
      let word = UInt32(truncatingIfNeeded: entry)
      if R.ENTRY_TYPE_TSG.get(word) == 1 {
        guard left == 0 else { return nil }
        group = R.ENTRY_ID.get(word)
        left = R.ENTRY_TSG_LENGTH.get(word)
        slice =
          UInt64(R.ENTRY_TSG_TIMESLICE_TIMEOUT.get(word))
          << UInt64(R.ENTRY_TSG_TIMESLICE_SCALE.get(word)) * 1024
        continue
      }
      let channel = channel(R.ENTRY_ID.get(word))
      items.append(
        PBDMA.RunlistItem(
          channel: channel, group: left > 0 ? group : nil,
          // SOURCE: nouveau's default for channels, 128 << 3 units of 1024 ns.
          timeslice: left > 0 ? slice : 1_048_576))
      if left > 0 { left -= 1 }
    }
    return left == 0 ? items : nil
  }

  func runlistWord(_ runlist: UInt32) -> UInt32 {
    guard let pbdma = pbdmas.first(where: { $0.runlistID == runlist }) else { return 0 }
    return NV_PFIFO.ENG_RUNLIST_LENGTH.make32(submitted[Int(pbdma.index)].length)
      | NV_PFIFO.ENG_RUNLIST_PENDING.make32(pbdma.isSubmissionPending ? 1 : 0)
  }

  func runlistBaseWord(_ runlist: UInt32) -> UInt32 {
    pbdmas.first { $0.runlistID == runlist }.map { submitted[Int($0.index)].base } ?? 0
  }

  func disableScheduling(_ mask: UInt32) {
    schedDisable = mask
    for pbdma in pbdmas { pbdma.isSchedulingDisabled = mask & 1 << pbdma.runlistID != 0 }
  }

  func clearSchedulingErrors(_ mask: UInt32) {
    interrupts.stoppedRunlists &= ~mask
    for pbdma in pbdmas where mask & 1 << pbdma.runlistID != 0 { pbdma.agent.kick() }
  }

  // MARK: preemption

  func preempt(_ word: UInt32) {
    preemptWord = word
    let id = NV_PFIFO.PREEMPT_ID.get(word)
    let request: PBDMA.Preempt =
      NV_PFIFO.PREEMPT_TYPE.get(word) == NV_PFIFO.PREEMPT_TYPE_TSG ? .group(id) : .channel(id)
    for pbdma in pbdmas { pbdma.request(request) }
    guard NV_PFIFO.ENG_TIMEOUT_DETECTION.get(engineTimeout) == 1 else { return }
    let period = UInt64(NV_PFIFO.ENG_TIMEOUT_PERIOD.get(engineTimeout)) * 1_000
    timeout?.cancel()
    timeout = board.kernel.after(period, "ctxsw time-out") { [weak self] in
      guard let self, isPreempting else { return }
      interrupts.raiseSchedError(NV_PFIFO.SCHED_ERROR_CTXSW_TIMEOUT)
    }
  }

  var isPreempting: Bool { pbdmas.contains { $0.preempt != nil } }

  var preemptStatus: UInt32 {
    let mask = UInt32(truncatingIfNeeded: NV_PFIFO.PREEMPT_PENDING.mask)
    return preemptWord & ~mask | (isPreempting ? mask : 0)
  }

  /// ENGINE_STATUS and PBDMA_STATUS of a unit.
  func unitStatus(_ pbdma: PBDMA, ofEngine: Bool) -> UInt32 {
    typealias P = NV_PFIFO
    let engineChannel = pbdma.engine?.channel
    guard let channel = ofEngine ? engineChannel ?? pbdma.current : pbdma.current else { return 0 }
    let group = channel === pbdma.current ? pbdma.currentGroup : pbdma.group(of: channel)
    let isFaulted = pbdma.engine?.isFaulted ?? false
    let isBusy = !(pbdma.engine?.isIdle ?? true)
    return P.STATUS_ID.make32(group ?? channel.id)
      | P.STATUS_ID_TYPE_TSG.make32(group == nil ? 0 : 1) | P.STATUS_CTX_STATUS.make32(1)
      | (ofEngine
        ? P.STATUS_FAULTED.make32(isFaulted ? 1 : 0) | P.STATUS_BUSY.make32(isBusy ? 1 : 0) : 0)
  }

  // MARK: faults and resets

  /// TRIGGER_MMU_FAULT: reports a fault for whatever the engine runs.
  func triggerFault(_ word: UInt32) {
    guard NV_PFIFO.TRIGGER_MMU_FAULT_ENABLE.get(word) == 1 else { return }
    let unit = NV_PFIFO.TRIGGER_MMU_FAULT_ID.get(word)
    guard unit < 32 else { return }
    reports.triggered |= 1 << unit
    let pbdma = pbdmas.first { $0.info.faultID == unit }
    let channel = pbdma?.engine?.channel ?? pbdma?.current
    if let pbdma {
      channel?.isFaulted = true
      interrupts.stoppedRunlists |= 1 << pbdma.runlistID
    }
    // The manuals name no reason for a fault that software asked for; 0 is what the field holds
    // when no translation took place.
    reports.report(
      unit: unit, instance: channel?.instance ?? Place(aperture: .vram, address: 0), address: 0,
      type: .PDE, access: .READ, client: pbdma?.info.faultClient ?? 0)
  }

  /// The unit's bits in PMC_ENABLE went to 0.
  func reset() {
    interrupts.reset()
    for pbdma in pbdmas { pbdma.reset() }
    for case let channel? in channels {
      channel.isEnabled = false
      channel.instanceWord = 0
      channel.isFaulted = false
    }
    disableScheduling(0)
    userdBase = 0
  }
}

extension PBDMA {
  func group(of channel: Channel) -> UInt32? {
    runlist.first { $0.channel === channel }?.group ?? channel.group
  }
}
