/// What a PBDMA needs of the engine behind its runlist.
///
/// Two kinds stand behind it: the fixed-function copy engine, whose method state the host keeps
/// with the channel, and the engine with a microcontroller, which keeps it in its own memory and
/// saves it at a channel switch.
protocol HostEngine: AnyObject {
  var info: ChipEngine { get }
  var instance: UInt32 { get }
  /// The class of its objects.
  var classID: UInt32 { get }
  /// Nothing under way and nothing waiting.
  var isIdle: Bool { get }
  /// The channel can be taken off: nothing is under way, or what is will never be done.
  var isPreemptible: Bool { get }
  /// An MMU fault stopped it.
  var isFaulted: Bool { get }
  /// What it does, for reports.
  var stateName: String { get }
  /// The channel whose context the engine holds.
  var channel: Channel? { get }
  /// A preemption wants the engine: nothing further begins.
  var isHeld: Bool { get set }
  /// Kicked when the engine has room again or comes to rest.
  var onProgress: () -> Void { get set }
  /// Copies completed since the GPU was made, and their bytes.
  var completed: UInt64 { get }
  var movedBytes: UInt64 { get }

  /// Takes SET_OBJECT on a subchannel.
  func bindObject(_ method: Channel.Method, of channel: Channel) -> HostEngineOutcome
  /// Takes a method of its class.
  func execute(_ method: Channel.Method, of channel: Channel, _ context: InstanceContext)
    -> HostEngineOutcome
  /// A preemption takes `channel` off: what hasn't begun goes with the channel.
  func putAway(_ channel: Channel)
  /// `channel` is on the PBDMA again.
  func takeBack(_ channel: Channel)
  /// Saves the channel that the engine holds; false while that is under way.
  func unload() -> Bool
  /// The unit's bit in PMC_ENABLE went to 0: everything under way and waiting is gone.
  func reset()
  /// The GPU goes: steps that are still due find nothing to do.
  func retire()
}

/// What became of a method that was handed to an engine.
enum HostEngineOutcome {
  case done
  /// No room, or another channel's state is still loaded; the host offers it again.
  case wait
  /// A physical address by a channel that isn't privileged.
  case notPrivileged
  /// No method of the class.
  case illegal
  /// A method of the class that the emulated engine doesn't have.
  case unimplemented(String)
}
