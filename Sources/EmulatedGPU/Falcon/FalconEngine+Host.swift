import Falcon
import KernelRuntime
import NVHardware

extension FalconEngine: HostEngine {
  var classID: UInt32 { instance == 0 ? Class90B5.classID : Class90B5.secondClassID }
  var channel: Channel? { resident ?? wanted }
  var completed: UInt64 { UInt64(unit.completedCopies) }
  var movedBytes: UInt64 { unit.completedBytes }

  /// The core sleeps or was never started, and neither a method, a channel switch nor a copy is
  /// under way.
  var isIdle: Bool {
    guard !isHung, !isFaulted, core.pendingMethods == 0, !core.isSwitchingChannel, !unit.isBusy
    else { return false }
    return core.isSleeping || core.stopReason == .reset
  }
  var isPreemptible: Bool { isIdle }

  var stateName: String {
    if isHung { return "hung" }
    if isFaulted { return "faulted" }
    switch core.stopReason {
    case .some(.reset), nil: return isIdle ? "idle" : "running"
    case .some(let reason): return "stopped (\(reason))"
    }
  }

  /// The class's method 0 is its object's name; the microcode keeps it.
  func bindObject(_ method: Channel.Method, of channel: Channel) -> HostEngineOutcome {
    offer(
      FalconMethod(subchannel: method.subchannel, offset: Class90B5.NAME, data: method.data),
      of: channel)
  }

  /// Every method that fits the FIFO's 11 bits goes to the microcode, which knows which there are.
  /// Pascal's host reaches twice as many: the others would be taken for methods that they are not.
  func execute(_ method: Channel.Method, of channel: Channel, _ context: InstanceContext)
    -> HostEngineOutcome
  {
    guard method.address >> 2 <= Class90B5.lastMethodNumber else { return .illegal }
    return offer(
      FalconMethod(
        subchannel: method.subchannel, offset: method.address, data: method.data), of: channel)
  }

  private func offer(_ method: FalconMethod, of channel: Channel) -> HostEngineOutcome {
    catchUp()
    guard holds(channel) else { return .wait }
    var method = method
    if method.number == Class90B5.EXEC >> 2 {
      // Room first: a method that has to be offered again asks for its failures once.
      guard hasRoom else { return .wait }
      breakOnRequest(&method)
    }
    guard !isHung, core.push(method) else { return .wait }
    disturbed()
    return .done
  }

  private var hasRoom: Bool { core.pendingMethods < core.configuration.methodFIFODepth }

  /// Whether the channel's state is loaded; begins to load it if not.
  private func holds(_ channel: Channel) -> Bool {
    guard !isHung, !isFaulted, !core.isSwitchingChannel else { return false }
    if resident === channel { return true }
    // Methods of the channel that is loaded come first.
    guard isIdle, let instance = channel.instance, instance.aperture == .vram else { return false }
    wanted = channel
    memory.forgetContext()
    core.requestChannelSwitch(to: UInt32(truncatingIfNeeded: instance.address >> 12))
    disturbed()
    return false
  }

  func putAway(_ channel: Channel) {}
  func takeBack(_ channel: Channel) {}

  func unload() -> Bool {
    catchUp()
    guard channel != nil else { return true }
    guard isIdle else { return false }
    wanted = nil
    memory.forgetContext()
    core.requestChannelSwitch(to: nil)
    disturbed()
    return channel == nil
  }

  // MARK: failures on request

  /// The failures of `gpu.*` that strike a launch. A launch that the engine refuses is one with a
  /// method that no microcode knows in its place: the refusal is then the microcode's own.
  private func breakOnRequest(_ method: inout FalconMethod) {
    startedAt = board.kernel.now
    let failures = board.kernel.failures
    if failures.fires(.engineHang) {
      board.kernel.trace.record(.hang, UInt64(resident?.id ?? 0), on: agent.row)
      isHung = true
      return
    }
    if failures.fires(.copyError) {
      board.kernel.trace.record(.copyError, UInt64(resident?.id ?? 0), 1, on: agent.row)
      method = FalconMethod(subchannel: method.subchannel, number: 0x7ff, data: method.data)
      return
    }
    if failures.fires(.copyFault) { memory.breaksNextCopy = true }
    if failures.fires(.eccPoison) { memory.poisonsNextCopy = true }
  }
}
