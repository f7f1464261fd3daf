package import KernelRuntime

extension TraceKind {
  /// The top half: the pending words of both trees.
  package static let interrupt = TraceKind("irq", ["intr0", "intr1"])
  /// A push buffer segment was handed to the host.
  package static let channelKick = TraceKind("channel.kick", ["channel", "dwords", "gp_put"])
  /// The ring was full and somebody waits for room.
  package static let ringWait = TraceKind("ring.wait", ["channel", "dwords"], shape: .span)
  package static let channelKill = TraceKind("channel.kill", ["channel", "errno"])
  /// A unit reported a failed address translation.
  package static let mmuFault = TraceKind("mmu.fault", ["engine", "address", "reason", "access"])
  package static let copyEngineError = TraceKind("ce.launcherr", ["engine", "code"])
  package static let deviceSuspend = TraceKind("device.suspend", shape: .span)
  package static let deviceResume = TraceKind("device.resume", shape: .span)
}
