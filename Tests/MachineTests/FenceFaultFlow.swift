import Base
import DMAFence
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import NouveauTestKit
import Testing

/// One way on which copies go, with a trouble in it, as a flow of the explorer.
///
/// The waiter gets the error; no page is committed whose copy isn't complete, and none is lost; the
/// same flow then succeeds; the channel is rebuilt by hand and carries all pages there and back.
/// After each of these every byte of every page is compared where it lies, and the machine audited.
struct FenceFaultFlow: Flow, Sendable, CustomTestStringConvertible {
  let way: FenceWay
  let trouble: FenceTrouble
  let mode: FenceWaitMode

  static let pages = 6

  var name: String { "\(way), \(trouble), \(mode)" }
  var testDescription: String { name }

  func run(_ run: FlowRun) throws {
    var configuration = MachineConfiguration.tiny
    configuration.choices = run.choices
    configuration.failures = run.failures
    configuration.trace = run.trace
    configuration.hostMemory = run.hostMemory
    configuration.driver.fenceWait = mode
    // Three batches, two of them in flight together.
    configuration.policy.batchPages = 2
    let machine = try Machine(configuration)
    run.attach(machine.kernel)
    // Polling for 15 s takes 15,000 looks, and an eviction tries several times.
    machine.kernel.stepLimit = 2_000_000
    let world = FenceFaultWorld(self, run, machine)
    run.beginSetUp()
    try machine.run { _ in await world.prepare() }
    run.endSetUp()
    guard world.isReady else { return }
    try world.step("trouble") { await world.suffer() }
    if trouble.losesTheBoard { try world.step("lost") { await world.leave() } }
    if machine.gpu.isLost { try world.step("replaced") { await world.replace() } }
    try world.step("repeated") { await world.again() }
    try world.step("rebuilt") { await world.rebuild() }
    try machine.run { await $0.shutdown() }
    try machine.kernel.runUntilIdle()
    for offence in machine.audit() { run.offend("audit", "after shutdown: \(offence)") }
  }
}

/// The machine of one run.
private final class FenceFaultWorld {
  private let flow: FenceFaultFlow
  private let run: FlowRun
  private let machine: Machine
  private var kernel: Kernel { machine.kernel }
  private(set) var isReady = false
  private var bench: Bench?

  init(_ flow: FenceFaultFlow, _ run: FlowRun, _ machine: Machine) {
    self.flow = flow
    self.run = run
    self.machine = machine
  }

  /// One part of the story, with a look at everything afterwards.
  func step(_ name: String, _ body: @escaping () async -> Void) throws(RunFailure) {
    try machine.run { _ in await body() }
    run.failures.disarm()
    for offence in machine.audit() { run.offend("audit", "\(name): \(offence)") }
    guard let bench else { return }
    for page in 0..<FenceFaultFlow.pages {
      let bytes = bench.lyingBytes(page)
      run.expect(
        bytes == Bench.pattern(page) || bytes == nil && machine.gpu.isLost, "bytes",
        "\(name): page \(page)")
    }
  }

  func prepare() async {
    do {
      try await machine.boot()
      let process = try await machine.makeProcess("p")
      let bytes = UInt64(FenceFaultFlow.pages * PageSize.bytes)
      let start = try await process.space.map(bytes: bytes, .readWrite)
      let bench = Bench(
        machine: machine, process: process, start: start, pages: FenceFaultFlow.pages)
      try await bench.fill(0..<bench.pages)
      if flow.way != .toDevice {
        let result = try await process.migrateToDevice(bench.all)
        run.expect(result.moved == bench.pages, "set-up", "\(result)")
      }
      self.bench = bench
      isReady = true
    } catch {
      run.offend("set-up", "\(error)")
    }
  }

  // MARK: the trouble

  func suffer() async {
    guard let bench, let channel = machine.driver?.copyChannel else { return }
    let before = kernel.now
    let error = await suffer(flow.trouble, channel) { await self.goOnce(bench) }
    let text = error?.name ?? "ok"
    run.mark(text)
    // Eviction tries again until nothing is left, so one failure doesn't come out of it.
    let mayHide = flow.way == .eviction || flow.trouble.losesTheBoard && !machine.gpu.isLost
    let allowed = flow.trouble.errors + (mayHide ? [nil] : [])
    run.expect(allowed.contains(error), "error", text)
    if error == .ETIMEDOUT {
      run.expect(kernel.now - before >= NouveauFence.limit, "early time-out", "\(kernel.now)")
    }
    let rules = run.failures.rules
    let hasStruck = rules.isEmpty || rules.contains { $0.strikes > 0 }
    if hasStruck { run.mark("struck") }
    run.expect(hasStruck || flow.trouble.mayNotStrike, "never struck")
  }

  private func suffer(
    _ trouble: FenceTrouble, _ channel: Channel, _ body: () async -> KernelError?
  ) async -> KernelError? {
    switch trouble {
    case .point(let point, let when, _):
      run.failures.arm(point, when)
      return await body()
    case .wrap(let point):
      // A fault emits one fence, the others two at least.
      channel.fences.goOn(from: flow.way == .fault ? .max : .max - 1)
      if let point { run.failures.arm(point, .always) }
      let error = await body()
      run.expect(channel.fences.sequence < 1 << 16, "no wrap", "\(channel.fences.sequence)")
      return error
    case .lost(let access):
      run.failures.arm(.deviceLost, .nth(access))
      return await body()
    case .deadChannel:
      channel.kill(.EIO)
      let refused = await emitError(on: channel)
      run.expect(refused == .ENODEV, "emit after kill", refused?.name ?? "ok")
      run.expect(channel.fences.pendingCount == 0, "pending after kill")
      return await body()
    case .killInFlight(let error):
      return await kill(channel, error, body)
    }
  }

  private func kill(
    _ channel: Channel, _ error: KernelError, _ body: () async -> KernelError?
  ) async -> KernelError? {
    var isOver = false
    let killer = kernel.spawn("killer") { [kernel, run] in
      while !isOver && channel.fences.pendingCount == 0 { await kernel.sleep(20) }
      if isOver { return }
      run.mark("killed")
      channel.kill(error, trustsMemory: false)
      run.expect(channel.fences.pendingCount == 0, "pending after kill")
      // Refused, unless the flow's next batch has rebuilt the channel before; then it is done.
      let refused = await self.emitError(on: channel)
      run.expect(refused == nil || refused == .ENODEV, "emit after kill", refused?.name ?? "ok")
    }
    let result = await body()
    isOver = true
    await killer.join()
    return result
  }

  private func emitError(on channel: Channel) async -> KernelError? {
    await KernelError.of { () throws(KernelError) in
      _ = try await NouveauFence.emit(on: channel)
    }
  }

  // MARK: the ways

  /// The flow's error; nil when it did what was asked.
  private func goOnce(_ bench: Bench) async -> KernelError? {
    let all = 0..<bench.pages
    do throws(KernelError) {
      switch flow.way {
      case .toDevice:
        let before = bench.onDevice(all)
        let result = try await bench.process.migrateToDevice(bench.all)
        // What isn't reported as moved must not be on the device, and the other way round.
        let here = bench.onDevice(all)
        run.expect(here == before + result.moved, "moved", "\(before), \(result), then \(here)")
        run.expect((result.error == nil) == (here == bench.pages), "moved", "\(result)")
        return result.error
      case .back:
        let before = bench.onDevice(all)
        let moved = try await bench.process.migrateToRAM(bench.all)
        run.expect(moved == before && bench.onDevice(all) == 0, "moved", "\(moved) of \(before)")
      case .fault:
        do throws(AccessError) {
          let bytes = try await bench.process.space.load(bench.address(2), count: PageSize.bytes)
          run.expect(bytes == Bench.pattern(2), "bytes", "read by the fault")
        } catch {
          run.expect(
            bench.isOnDevice(2) || machine.gpu.isLost, "moved",
            "a page whose copy failed left the device")
          guard case .sigbus(_, let reason) = error else { return .EFAULT }
          return reason
        }
      case .eviction:
        await machine.unbindDriver()
        run.expect(bench.onDevice(all) == 0, "moved", "\(bench.onDevice(all)) stay")
      }
      return nil
    } catch {
      return error
    }
  }

  /// Without the trouble the same flow succeeds.
  func again() async {
    guard let bench else { return }
    do {
      if flow.way == .eviction {
        try await machine.boot()
        if let svm = machine.svm { try await bench.process.open(svm) }
        let result = try await bench.process.migrateToDevice(bench.all)
        run.expect(result.moved == bench.pages, "repeated", "\(result)")
      }
      if let error = await goOnce(bench) { run.offend("repeated", "\(error)") }
      if flow.way == .eviction {
        try await machine.boot()
        if let svm = machine.svm { try await bench.process.open(svm) }
      }
      // Whatever killed it, the next batch has made it usable again.
      if flow.way != .fault || !bench.isOnDevice(2) {
        run.expect(machine.driver?.copyChannel.isKilled != true, "repeated", "on a dead channel")
      }
    } catch {
      run.offend("repeated", "\(error)")
    }
  }

  /// The board is gone: its channel can't be rebuilt, the driver leaves, and each access to a page
  /// that was on it says so; the others are right.
  func leave() async {
    guard let bench, machine.gpu.isLost else { return }
    if let channel = machine.driver?.copyChannel {
      let error = await KernelError.of { () throws(KernelError) in try await channel.rebuild() }
      run.expect(error == .ENODEV, "rebuilt", "\(String(describing: error))")
      run.expect(channel.fences.pendingCount == 0, "pending on a lost board")
    }
    let before = bench.onDevice(0..<bench.pages)
    await machine.unbindDriver()
    var lost = 0
    for page in 0..<bench.pages {
      do throws(AccessError) {
        let bytes = try await bench.process.space.load(bench.address(page), count: PageSize.bytes)
        run.expect(bytes == Bench.pattern(page), "bytes", "page \(page) after the loss")
      } catch {
        run.expect(error == .sigbus(bench.address(page), .EHWPOISON), "error", "\(error)")
        lost += 1
      }
    }
    if flow.way != .eviction {
      run.expect(lost == before, "lost", "\(lost) pages, \(before) were on the device")
    }
  }

  /// A new board in the slot; what was lost is mapped anew, and all is as it was before the flow.
  func replace() async {
    guard let bench else { return }
    do {
      try machine.replaceBoard()
      try await bench.process.space.unmap(bench.all)
      _ = try await bench.process.space.map(bytes: bench.all.bytes, .readWrite, at: bench.start)
      try await bench.fill(0..<bench.pages)
      if flow.way == .eviction { return }
      try await machine.boot()
      if let svm = machine.svm { try await bench.process.open(svm) }
      guard flow.way != .toDevice else { return }
      let result = try await bench.process.migrateToDevice(bench.all)
      run.expect(result.moved == bench.pages, "replaced", "\(result)")
    } catch {
      run.offend("replaced", "\(error)")
    }
  }

  /// A rebuild by hand, and everything once there and back.
  func rebuild() async {
    guard let bench, let channel = machine.driver?.copyChannel else { return }
    let all = 0..<bench.pages
    do {
      let life = channel.generation
      try await channel.rebuild()
      run.expect(channel.generation == life + 1, "rebuilt", "generation \(channel.generation)")
      try await NouveauFence.emit(on: channel).wait()
      run.expect(channel.fences.isIdle, "rebuilt", "fences pending")
      let result = try await bench.process.migrateToDevice(bench.all)
      run.expect(result.error == nil && bench.onDevice(all) == bench.pages, "rebuilt", "\(result)")
      let seen = try await bench.process.deviceLoad(bench.address(3), count: PageSize.bytes)
      run.expect(seen == Bench.pattern(3), "bytes", "read by the GPU")
      let back = try await bench.process.migrateToRAM(bench.all)
      run.expect(back == bench.pages, "rebuilt", "\(back) pages came back")
      let damaged = await bench.damaged(all)
      run.expect(damaged == [], "bytes", "read by the CPU: \(damaged)")
    } catch {
      run.offend("rebuilt", "\(error)")
    }
  }
}

extension KernelError {
  /// The error that `body` throws; nil when it doesn't.
  fileprivate static func of(_ body: () async throws(KernelError) -> Void) async -> KernelError? {
    do throws(KernelError) {
      try await body()
      return nil
    } catch {
      return error
    }
  }
}

extension Bench {
  /// A page's bytes where they lie, without touching the page; nil where it is neither in RAM nor
  /// on the device.
  func lyingBytes(_ page: Int) -> [UInt8]? {
    switch process.space.entry(at: address(page)).location {
    case .ram(let frame):
      return machine.mm.ram.bytes(at: frame.index * PageSize.bytes, count: PageSize.bytes)
    case .device(let frame):
      guard let chunk = machine.svm?.dmem.chunk(of: frame) else { return nil }
      return machine.gpu.vram.bytes(
        at: Int(chunk.address(of: frame).rawValue), count: PageSize.bytes)
    default: return nil
    }
  }
}
