/// The sixteen interrupt lines: their wires, flip-flops, masks and destinations.
///
/// An edge line is remembered in a flip-flop until it is cleared; a level line is its wire.
/// SOURCE: envytools docs/hw/falcon/intr.rst.
struct FalconInterrupts {
  /// Where a line goes: the selector's two bits.
  enum Destination: UInt32 {
    case vector0 = 0
    case host = 1
    case vector1 = 2
    case nonStalling = 3
  }

  /// Bit n set: line n is its wire's level.
  var mode: UInt32 = 0xfc04
  var enabled: UInt32 = 0
  /// Bit n and bit 16 + n choose line n's destination.
  var routing: UInt32 = 0
  private(set) var latched: UInt32 = 0
  private(set) var wires: UInt32 = 0

  /// The INTR register.
  var pending: UInt32 { (latched & ~mode | wires & mode) & 0xffff }

  /// Pending and enabled lines that go to `destination`.
  func pending(to destination: Destination) -> UInt32 {
    let low = destination.rawValue & 1 == 1 ? routing : ~routing
    let high = destination.rawValue & 2 == 2 ? routing >> 16 : ~(routing >> 16)
    return pending & enabled & low & high
  }

  /// Sets the wires' levels; an edge line remembers a rise.
  mutating func setWires(_ levels: UInt32) {
    latched |= levels & ~wires & ~mode
    wires = levels
  }

  /// A pulse on edge lines: an event of the hardware, or INTR_SET. Level lines ignore it.
  mutating func pulse(_ lines: UInt32) { latched |= lines & ~mode & 0xffff }

  /// INTR_CLEAR. Level lines ignore it.
  mutating func clear(_ lines: UInt32) { latched &= ~(lines & ~mode) }
}
