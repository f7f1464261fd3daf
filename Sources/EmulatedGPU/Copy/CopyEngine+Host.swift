import NVHardware

extension CopyEngine: HostEngine {
  var classID: UInt32 { board.copyClass }
  var isFaulted: Bool { state == .faulted }
  var stateName: String { "\(state)" }

  /// The class has no state of its own.
  func bindObject(_ method: Channel.Method, of channel: Channel) -> HostEngineOutcome { .done }

  func execute(_ method: Channel.Method, of channel: Channel, _ context: InstanceContext)
    -> HostEngineOutcome
  {
    switch channel.copy.execute(method.address, method.data) {
    case .accepted: return .done
    case .launch: return launch(method.data, of: channel, context)
    case .unimplemented(let name): return .unimplemented(name)
    case .illegal: return .illegal
    }
  }

  private func launch(_ command: UInt32, of channel: Channel, _ context: InstanceContext)
    -> HostEngineOutcome
  {
    let launch = CopyLaunch(
      command: command, state: channel.copy, channel: channel, context: context)
    if launch.sourceIsPhysical || launch.targetIsPhysical, !channel.isPrivileged {
      return .notPrivileged
    }
    guard hasRoom else { return .wait }
    enqueue(launch)
    return .done
  }

  func putAway(_ channel: Channel) { channel.savedLaunches = takeQueue() }

  func takeBack(_ channel: Channel) {
    for launch in channel.savedLaunches { enqueue(launch) }
    channel.savedLaunches.removeAll()
  }

  /// The host keeps the class's state with the channel; nothing has to be saved.
  func unload() -> Bool { true }
}
