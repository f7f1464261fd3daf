/// Names that assembler and disassembler share.
enum FalconNames {
  /// Special registers by number.
  /// SOURCE: envytools docs/hw/falcon/isa.rst. `cx` and `cauth` exist on crypto units only.
  static let special: [(name: String, number: UInt8)] = [
    ("iv0", 0), ("iv1", 1), ("tv", 3), ("sp", 4), ("pc", 5), ("xcbase", 6), ("xdbase", 7),
    ("flags", 8), ("cx", 9), ("cauth", 10), ("xtargets", 11), ("tstatus", 12),
  ]

  /// Flag bits by number.
  static let flags: [(name: String, number: UInt8)] =
    (0..<8).map { ("p\($0)", UInt8($0)) } + [
      ("c", 8), ("o", 9), ("s", 10), ("z", 11), ("ie0", 16), ("ie1", 17), ("is0", 20), ("is1", 21),
      ("ta", 24),
    ]

  static func special(number: UInt8) -> String {
    special.first { $0.number == number }?.name ?? "sr\(number)"
  }

  static func special(named name: String) -> UInt8? {
    if let known = special.first(where: { $0.name == name }) { return known.number }
    guard name.hasPrefix("sr"), let number = UInt8(name.dropFirst(2)), number < 16 else {
      return nil
    }
    return special.contains { $0.number == number } ? nil : number
  }

  static func flag(number: UInt8) -> String {
    flags.first { $0.number == number }?.name ?? hex(UInt32(number))
  }

  static func flag(named name: String) -> UInt8? { flags.first { $0.name == name }?.number }

  static func register(named name: String) -> UInt8? {
    guard name.hasPrefix("r"), let number = UInt8(name.dropFirst(1)), number < 16 else {
      return nil
    }
    return "r\(number)" == name ? number : nil
  }

  /// Whether a name means a register, a flag or a keyword and can't be a symbol.
  static func isReserved(_ name: String) -> Bool {
    register(named: name) != nil || special(named: name) != nil || flag(named: name) != nil
      || name == "long" || name == "unused"
  }

  static func hex<T: BinaryInteger>(_ value: T) -> String { "0x" + String(value, radix: 16) }
}
