import Base
import DMAFence
import Foundation
import KernelRuntime
import NouveauTestKit
import Testing

@testable import Nouveau

/// What races with a channel's fences, under random walks and orders with few changes of priority:
/// whatever the order, each waiter gets one of the ends allowed, no fence stays pending, and the
/// channel works again after a rebuild.
struct ChannelRace: Sendable, CustomTestStringConvertible {
  let name: String
  var wait = FenceWaitMode.interrupt
  var ringEntries = DriverOptions().ringEntries
  /// Nil is success.
  let ends: [KernelError?]
  let body: @Sendable (FlowRun, Bench, NouveauDevice) async throws(KernelError) -> [KernelError?]

  var testDescription: String { name }

  var flow: TaskFlow {
    TaskFlow(name) { run in
      var options = DriverOptions()
      options.fenceWait = wait
      options.ringEntries = ringEntries
      guard let bench = try? Bench(run.kernel) else {
        run.offend("bench")
        return
      }
      let chosen = options
      run.task("main") { () async throws(KernelError) in
        run.beginSetUp()
        let device = try await bench.probe(chosen)
        run.endSetUp()
        for end in try await body(run, bench, device) {
          run.expect(ends.contains(end), "end", "\(end?.name ?? "ok")")
        }
        if !device.isLost && !bench.gpu.isGone {
          try await check(run, bench, device)
        }
        await device.shutdown()
        run.expect(device.usage == DeviceUsage(), "leak", "\(device.usage)")
        run.mark("end")
      }
      run.atEnd { withExtendedLifetime(bench) {} }
    }
  }

  /// The same again without the trouble.
  private func check(
    _ run: FlowRun, _ bench: Bench, _ device: NouveauDevice
  ) async throws(KernelError) {
    let channel = device.copyChannel
    bench.gpu.release()
    bench.gpu.losesInterrupts = false
    bench.gpu.storeDelay = 0
    if channel.isKilled { try await channel.rebuild() }
    try await NouveauFence.emit(on: channel).wait()
    run.expect(channel.fences.isIdle, "pending", "\(channel.fences.pendingCount)")
  }

  /// How `count` tasks fare that each emit a fence and wait for it, while `others` run.
  static func emitters(
    _ count: Int, on channel: Channel, while others: [(String, () async -> Void)]
  ) async -> [KernelError?] {
    let kernel = channel.device.kernel
    var ends: [KernelError?] = []
    var tasks: [KernelTask] = []
    for index in 0..<count {
      tasks.append(
        kernel.spawn("emitter \(index)") {
          ends.append(
            await KernelError.of { () throws(KernelError) in
              try await NouveauFence.emit(on: channel).wait()
            })
        })
    }
    for (name, body) in others { tasks.append(kernel.spawn(name, body)) }
    for task in tasks { await task.join() }
    return ends
  }
}

extension ChannelRace {
  static let emitAndKill = emitAndKill(3)

  static func emitAndKill(_ count: Int) -> ChannelRace {
    ChannelRace(name: "emit and kill, \(count)", ends: [.EIO, .ENODEV]) { _, bench, device in
      let channel = device.copyChannel
      bench.gpu.isHeld = true
      return await emitters(
        count, on: channel,
        while: [
          (
            "killer",
            {
              await device.kernel.point()
              channel.kill(.EIO)
            }
          )
        ])
    }
  }

  /// A copy's release is on its way while somebody kills.
  static let signalAndKill = ChannelRace(
    name: "signal and kill", ends: [nil, .EIO, .ENODEV]
  ) { _, _, device in
    let channel = device.copyChannel
    return await emitters(
      1, on: channel,
      while: [
        (
          "killer",
          {
            await device.kernel.point()
            channel.kill(.EIO)
          }
        )
      ])
  }

  /// Those with few steps.
  static let small = [emitAndKill(1), signalAndKill]

  static let killAndRebuild = ChannelRace(
    name: "kill, rebuild and emit", ends: [nil, .EIO, .ENODEV]
  ) { run, _, device in
    let channel = device.copyChannel
    let rebuilder: () async -> Void = {
      let error = await KernelError.of { () throws(KernelError) in
        if channel.isKilled { try await channel.rebuild() }
      }
      run.expect(error == nil, "rebuild", "\(String(describing: error))")
    }
    return await emitters(
      2, on: channel,
      while: [
        ("killer", { channel.fail(.EIO) }), ("rebuilder 1", rebuilder), ("rebuilder 2", rebuilder),
      ])
  }

  static let earlyAndLost = ChannelRace(
    name: "early and lost interrupts", ends: [nil]
  ) { _, bench, device in
    bench.gpu.storeDelay = 3_000
    return await emitters(
      3, on: device.copyChannel,
      while: [
        (
          "breaker",
          {
            await device.kernel.point()
            bench.gpu.losesInterrupts = true
          }
        )
      ])
  }

  static let pollingAndKill = ChannelRace(
    name: "polling and kill", wait: .polling, ends: [nil, .EIO, .ENODEV]
  ) { _, _, device in
    let channel = device.copyChannel
    return await emitters(
      2, on: channel,
      while: [
        (
          "killer",
          {
            await device.kernel.sleep(1_000)
            channel.kill(.EIO)
          }
        )
      ])
  }

  /// The release is written in the very moment in which the wait gives up.
  static let lateStore = ChannelRace(
    name: "store at the limit", ends: [nil, .ETIMEDOUT]
  ) { _, bench, device in
    bench.gpu.storeDelay = NouveauFence.limit
    bench.gpu.losesInterrupts = true
    let ends = await emitters(2, on: device.copyChannel, while: [])
    await device.kernel.sleep(NouveauFence.limit)
    return ends
  }

  static let fullRing = ChannelRace(
    name: "full ring and kill", ringEntries: 2, ends: [nil, .EIO, .ENODEV]
  ) { _, bench, device in
    let channel = device.copyChannel
    bench.gpu.isHeld = true
    return await emitters(
      4, on: channel,
      while: [
        (
          "killer",
          {
            await device.kernel.sleep(2_000)
            channel.kill(.EIO)
          }
        )
      ])
  }

  static let lostDevice = ChannelRace(
    name: "emit and loss", ends: [nil, .ENODEV, .EIO]
  ) { _, bench, device in
    await emitters(
      3, on: device.copyChannel,
      while: [
        (
          "remover",
          {
            await device.kernel.point()
            bench.gpu.isGone = true
          }
        )
      ])
  }

  static let all = [
    emitAndKill, signalAndKill, killAndRebuild, earlyAndLost, pollingAndKill, lateStore, fullRing,
    lostDevice,
  ]
}

@Suite struct FenceRaceTests {
  @Test(arguments: ChannelRace.all)
  func race_endsAsItMayInEveryOrder(_ race: ChannelRace) throws {
    let effort = Int(ProcessInfo.processInfo.environment["NOUVEAU_EFFORT"] ?? "") ?? 1
    let orders = 60 * effort
    let report = try race.flow.holdsInOrders(orders, .random)
    try race.flow.holdsInOrders(orders, .pct(depth: 3))
    // Each run came to its end.
    let ends = report?.reached.first { $0.name == "end" }?.count
    #expect(report == nil || ends == UInt64(orders))
  }

  /// Every order without preemption, from the first emit to the last page given back.
  @Test(arguments: ChannelRace.small)
  func smallRace_endsAsItMayInAllOrders(_ race: ChannelRace) throws {
    try race.flow.holdsInAllOrders(.init(preemptions: 0), limit: 2_000)
  }
}
