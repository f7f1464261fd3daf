/// How a copy makes each group of destination bytes from a group of source bytes.
///
/// SOURCE: envytools rnndb/fifo/pcopy.xml (SWIZZLE_CONTROL, SWIZZLE_MAP, SWIZZLE_CONST).
struct PCOPYSwizzle: Hashable {
  enum Byte: Hashable {
    case source(Int)
    case constant(Int)
    case zero
  }

  let sourceStep: Int
  /// The bytes of a destination group.
  let map: [Byte]
  /// Whether the constants are PTIMER's time instead of the two registers.
  let usesTimer: Bool
  let constant: UInt64

  var usesSource: Bool {
    map.contains { if case .source = $0 { true } else { false } }
  }

  init(control: UInt32, map words: [UInt32], constant: UInt64) throws(PCOPYProblemError) {
    sourceStep = Int(control & 0xf) + 1
    usesTimer = control >> 16 & 1 == 1
    self.constant = constant
    let count = Int(control >> 8 & 0xf) + 1
    var bytes: [Byte] = []
    for index in 0..<count {
      let code = UInt8(truncatingIfNeeded: words[index / 4] >> UInt32(index % 4 * 8))
      switch code {
      case 0x00...0x0f where Int(code) <= control & 0xf: bytes.append(.source(Int(code)))
      case 0x10...0x17: bytes.append(.constant(Int(code - 0x10)))
      case 0x80: bytes.append(.zero)
      default: throw PCOPYProblemError(problem: .badSwizzleByte(code))
      }
    }
    map = bytes
  }

  /// A line's destination bytes; `source` has as many groups, or none when no byte of it is used.
  func line(_ source: [UInt8], groups: Int, time: UInt64) -> [UInt8] {
    let word = usesTimer ? time : constant
    var result: [UInt8] = []
    result.reserveCapacity(groups * map.count)
    for group in 0..<groups {
      for byte in map {
        switch byte {
        case .source(let index): result.append(source[group * sourceStep + index])
        case .constant(let index):
          result.append(UInt8(truncatingIfNeeded: word >> UInt64(index * 8)))
        case .zero: result.append(0)
        }
      }
    }
    return result
  }
}
