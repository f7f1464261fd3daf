/// The registers of the channel switch and where the switch stands.
///
/// The scheduler asks by raising line 3; microcode answers on CHANNEL_CMD: 1 after it has stored
/// the old channel's context, 2 after it has loaded the new one's. One interrupt covers one step,
/// so a change from channel to channel takes two.
struct FalconChannelState {
  enum Phase {
    case idle
    case unloading
    case loading
  }

  static let validBit: UInt32 = 1 << 30

  var current: UInt32 = 0
  var next: UInt32 = 0
  var phase = Phase.idle
  /// The cycle from which the next step may be asked for. It is asked for once the microcode has
  /// also cleared the last request, so that its acknowledgement can't swallow the new one. (The
  /// sources don't say how the hardware keeps these apart.)
  var raiseAt: UInt64?

  static func word(_ channel: UInt32?) -> UInt32 {
    channel.map { $0 & 0x3fff_ffff | validBit } ?? 0
  }
  static func channel(_ word: UInt32) -> UInt32? {
    word & validBit == 0 ? nil : word & 0x3fff_ffff
  }

  /// The channel whose address space a transfer uses: the loaded one, or the one being loaded.
  var addressSpace: UInt32? { Self.channel(current) ?? Self.channel(next) }
}
