import Base
import DMAFence
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// What goes wrong with fences, and where: the waiter gets the error, no page is committed whose
/// copy isn't complete, none is lost, and the same flow then succeeds on the same channel.
@Suite struct FenceFaultTests {
  static let pages = 6

  /// Where copies and their fences come from.
  enum Flow: CaseIterable, Sendable {
    case toDevice
    case back
    case fault
    case eviction
  }

  /// What is done to them, and the errors that the waiter may get; nil is success.
  enum Trouble: Sendable, CustomStringConvertible {
    case point(InjectionPoint, FailurePlan.When, [KernelError?])
    /// The channel is dead before anything is emitted.
    case deadChannel
    /// The channel is killed while copies are in flight.
    case killInFlight(KernelError)

    var description: String {
      switch self {
      case .point(let point, let when, _): "\(point.name), \(when)"
      case .deadChannel: "channel dead"
      case .killInFlight(let error): "killed with \(error) in flight"
      }
    }

    /// Failures of emit; each is an error of the flow and nothing was told to the engine.
    static let emitting: [Trouble] = [
      .point(.ringSpace, .nth(1), [.EBUSY]), .point(.fenceAlloc, .nth(1), [.ENOMEM]),
      .point(.fenceEmit, .nth(1), [.ENODEV]), .point(.ringSpace, .nth(2), [nil, .EBUSY]),
      .deadChannel,
    ]
    /// What the hardware does wrong. A wrong number is put right by the next fence.
    static let signalling: [Trouble] = [
      .point(.interruptEarly, .always, [nil]), .point(.interruptLost, .always, [nil]),
      .point(.interruptStorm, .always, [nil]), .point(.fenceStall, .nth(1), [nil, .ETIMEDOUT]),
      .point(.fenceStall, .always, [.ETIMEDOUT]), .point(.fenceLate, .nth(1), [.ETIMEDOUT]),
      .point(.fenceWrongValue, .nth(1), [nil, .ETIMEDOUT]),
      .point(.fenceWrongValue, .always, [.ETIMEDOUT]), .killInFlight(.EIO), .killInFlight(.ENODEV),
    ]

    static let all = emitting + signalling

    /// Whether no copy succeeds while it lasts.
    var neverEnds: Bool {
      if case .point(_, .always, [.ETIMEDOUT]) = self { return true }
      return false
    }

    /// Whether some flows never pass its point: those that poll take no interrupt, and a CPU fault
    /// emits once.
    var mayNotStrike: Bool {
      guard case .point(let point, let when, _) = self else { return false }
      return [.interruptLost, .interruptStorm].contains(point) || when == .nth(2)
    }

    var errors: [KernelError?] {
      switch self {
      case .point(_, _, let errors): errors
      // The next batch rebuilds the channel.
      case .deadChannel: [nil]
      case .killInFlight(let error): [nil, error]
      }
    }
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let flow: Flow
    let trouble: Trouble
    let mode: FenceWaitMode
    let order: Order

    var testDescription: String { "\(flow), \(trouble), \(mode), \(order)" }
  }

  static func cases(_ orders: [Order], _ modes: [FenceWaitMode]) -> [Case] {
    Flow.allCases.flatMap { flow in
      // Eviction under an unending trouble has a test of its own.
      (flow == .eviction ? Trouble.all.filter { !$0.neverEnds } : Trouble.all).flatMap { trouble in
        modes.flatMap { mode in
          orders.map { Case(flow: flow, trouble: trouble, mode: mode, order: $0) }
        }
      }
    }
  }

  @Test(arguments: cases([.fifo], [.interrupt, .polling]))
  func trouble_isReportedAndLosesNothing(_ one: Case) throws { try check(one) }

  @Test(arguments: cases([11, 12, 13].map { .random(seed: $0) }, [.interrupt]))
  func trouble_isReportedAndLosesNothing_inAnyOrder(_ one: Case) throws { try check(one) }

  private func check(_ one: Case) throws {
    let name = one.testDescription
    try withBench(
      pages: Self.pages, order: one.order,
      configure: {
        $0.driver.fenceWait = one.mode
        // Three batches, two of them in flight together.
        $0.policy.batchPages = 2
      }
    ) { bench in
      try await bench.fill(0..<Self.pages)
      if one.flow != .toDevice { _ = try await bench.process.migrateToDevice(bench.all) }
      let channel = try #require(bench.machine.driver?.copyChannel)
      let before = bench.machine.kernel.now
      let error = await Self.suffer(one.trouble, bench, channel) {
        await Self.run(one.flow, bench)
      }
      // Eviction tries again until nothing is left, so one failure doesn't come out of it.
      let allowed = one.flow == .eviction ? one.trouble.errors + [nil] : one.trouble.errors
      #expect(allowed.contains(error), "\(name) gave \(String(describing: error))")
      if error == .ETIMEDOUT {
        #expect(bench.machine.kernel.now - before >= NouveauFence.limit, "\(name)")
      }
      try await Self.repeatWithSuccess(one.flow, bench, name)
    }
  }

  /// Runs `body` under a trouble and takes the trouble back.
  private static func suffer(
    _ trouble: Trouble, _ bench: Bench, _ channel: Channel, _ body: () async -> KernelError?
  ) async -> KernelError? {
    let kernel = bench.machine.kernel
    switch trouble {
    case .point(let point, let when, _):
      kernel.failures.arm(point, when)
      let error = await body()
      let hasStruck = kernel.failures.rules.contains { $0.strikes > 0 }
      #expect(hasStruck || trouble.mayNotStrike, "\(trouble) never struck")
      kernel.failures.disarm()
      return error
    case .deadChannel:
      channel.kill(.EIO)
      let refused = await emitError(on: channel)
      #expect(
        refused == .ENODEV, "a fence emitted after the kill gave \(String(describing: refused))")
      #expect(channel.fences.pendingCount == 0)
      return await body()
    case .killInFlight(let error):
      var isOver = false
      var struck = false
      let killer = kernel.spawn("killer") {
        while !isOver && channel.fences.pendingCount == 0 { await kernel.sleep(20) }
        if isOver { return }
        struck = true
        channel.kill(error, trustsMemory: false)
      }
      let result = await body()
      isOver = true
      await killer.join()
      #expect(struck, "\(trouble): no copy was seen in flight")
      return result
    }
  }

  private static func emitError(on channel: Channel) async -> KernelError? {
    do throws(KernelError) {
      _ = try await NouveauFence.emit(on: channel)
      return nil
    } catch {
      return error
    }
  }

  /// The flow's error; nil when it did what was asked.
  private static func run(_ flow: Flow, _ bench: Bench) async -> KernelError? {
    do throws(KernelError) {
      switch flow {
      case .toDevice:
        let result = try await bench.process.migrateToDevice(bench.all)
        // What isn't reported as moved must not be on the device, and the other way round.
        #expect(bench.onDevice(0..<pages) == result.moved)
        #expect(result.error != nil || result.moved == pages)
        return result.error
      case .back:
        let before = bench.onDevice(0..<pages)
        let moved = try await bench.process.migrateToRAM(bench.all)
        #expect(moved == before && bench.onDevice(0..<pages) == 0)
      case .fault:
        do throws(AccessError) {
          let bytes = try await bench.process.space.load(bench.address(2), count: PageSize.bytes)
          #expect(bytes == Bench.pattern(2))
        } catch {
          #expect(bench.isOnDevice(2), "a page whose copy failed stays on the device")
          guard case .sigbus(_, let reason) = error else { return .EFAULT }
          return reason
        }
      case .eviction:
        await bench.machine.unbindDriver()
        #expect(bench.onDevice(0..<pages) == 0)
      }
      return nil
    } catch {
      return error
    }
  }

  /// Without the trouble the same flow succeeds, and every byte is right.
  private static func repeatWithSuccess(_ flow: Flow, _ bench: Bench, _ name: String) async throws {
    let all = 0..<pages
    if flow == .eviction {
      #expect(await bench.damaged(all) == [], "\(name)")
      try await bench.machine.boot()
      try await bench.process.open(try #require(bench.machine.svm))
      #expect(try await bench.process.migrateToDevice(bench.all).moved == pages, "\(name)")
    }
    if flow == .toDevice {
      let rest = pages - bench.onDevice(all)
      let result = try await bench.process.migrateToDevice(bench.all)
      #expect(result.error == nil && result.moved == rest, "\(name): \(result)")
      #expect(bench.onDevice(all) == pages, "\(name)")
    } else if let error = await run(flow, bench) {
      Issue.record("\(name): the repeated flow gave \(error)")
    }
    #expect(await bench.damaged(all) == [], "\(name)")
    // And once more around, with the channel as it is now.
    if bench.machine.svm == nil { return }
    #expect(try await bench.process.migrateToDevice(bench.all).moved == pages, "\(name)")
    #expect(try await bench.process.migrateToRAM(bench.all) == pages, "\(name)")
    #expect(await bench.damaged(all) == [], "\(name)")
  }

  // MARK: the wrap

  /// The number passes 2^32 between batches that are in flight together.
  @Test(arguments: Order.several)
  func numbersThatWrap_changeNothing(order: Order) throws {
    for mode in [FenceWaitMode.interrupt, .polling] {
      try withBench(
        pages: Self.pages, order: order,
        configure: {
          $0.driver.fenceWait = mode
          $0.policy.batchPages = 1
        }
      ) { bench in
        let channel = try #require(bench.machine.driver?.copyChannel)
        try await bench.fill(0..<Self.pages)
        channel.fences.goOn(from: .max - 2)
        #expect(try await bench.process.migrateToDevice(bench.all).moved == Self.pages)
        #expect(channel.fences.sequence == 3, "\(order)")
        // A batch that fails across the wrap is told from the ones before it.
        channel.fences.goOn(from: .max - 1)
        bench.machine.kernel.failures.arm(.fenceStall, .always)
        await #expect(throws: KernelError.ETIMEDOUT) {
          _ = try await bench.process.migrateToRAM(bench.all)
        }
        bench.machine.kernel.failures.disarm()
        #expect(bench.onDevice(0..<Self.pages) == Self.pages, "\(order)")
        #expect(await bench.damaged(0..<Self.pages) == [], "\(order)")
      }
    }
  }

  // MARK: the device is gone

  /// A driver that leaves while no copy ever completes has the CPU read the bytes out.
  @Test(arguments: [InjectionPoint.fenceStall, .fenceWrongValue])
  func evictionThatNeverCopies_readsTheBytesOut(point: InjectionPoint) throws {
    try withBench(pages: Self.pages) { bench in
      try await bench.fill(0..<Self.pages)
      _ = try await bench.process.migrateToDevice(bench.range(0..<4))
      bench.machine.kernel.failures.arm(point, .always)
      await bench.machine.unbindDriver()
      bench.machine.kernel.failures.disarm()
      #expect(bench.onDevice(0..<Self.pages) == 0)
      #expect(await bench.damaged(0..<Self.pages) == [])
    }
  }

  /// Bytes that were on the device are gone with it: SIGBUS, never other bytes. All others are
  /// right.
  @Test(arguments: Flow.allCases, [Order.fifo] + (21...24).map { .random(seed: $0) })
  func lostDevice_isAnErrorAndNeverWrongBytes(flow: Flow, order: Order) throws {
    for passage in 1...2 as ClosedRange<UInt64> {
      try withBench(
        pages: Self.pages, order: order, configure: { $0.policy.batchPages = 2 }
      ) { bench in
        try await bench.fill(0..<Self.pages)
        if flow != .toDevice { _ = try await bench.process.migrateToDevice(bench.all) }
        bench.machine.kernel.failures.arm(.deviceLost, .nth(passage))
        let error = await Self.run(flow, bench)
        let hasStruck = bench.machine.kernel.failures.rules.contains { $0.strikes > 0 }
        bench.machine.kernel.failures.disarm()
        if hasStruck && flow != .eviction {
          #expect(error == .ENODEV || error == .EIO, "\(flow), \(order), at \(passage)")
        }
        let before = bench.onDevice(0..<Self.pages)
        if bench.machine.driver != nil { await bench.machine.unbindDriver() }
        var lost = 0
        for page in 0..<Self.pages {
          do throws(AccessError) {
            let bytes = try await bench.process.space.load(
              bench.address(page), count: PageSize.bytes)
            #expect(bytes == Bench.pattern(page), "page \(page), \(flow), \(order), at \(passage)")
          } catch {
            #expect(error == .sigbus(bench.address(page), .EHWPOISON))
            lost += 1
          }
        }
        if flow != .eviction && hasStruck { #expect(lost == before, "\(flow), \(order)") }
      }
    }
  }
}
