/// The condition of a branch: bits 5:0 of the second byte of `bra`.
///
/// SOURCE: envytools docs/hw/falcon/branch.rst.
public struct FalconCondition: Hashable, Sendable {
  /// The code in the instruction.
  public let code: UInt8
  /// The name in assembly text; empty for "always".
  public let name: String

  /// The condition that always holds.
  static let always = FalconCondition(code: 0x0e, name: "")

  /// Every condition of version 3, in the order of its code.
  public static let all: [FalconCondition] = {
    var list = (0..<8).map { FalconCondition(code: UInt8($0), name: "p\($0)") }
    let plain = ["c", "o", "s", "e", "a", "be"]
    list += plain.enumerated().map { FalconCondition(code: UInt8(8 + $0.offset), name: $0.element) }
    list.append(always)
    list += (0..<8).map { FalconCondition(code: UInt8(0x10 + $0), name: "!p\($0)") }
    let inverse = ["nc", "no", "ns", "ne", "g", "le", "l", "ge"]
    list += inverse.enumerated().map {
      FalconCondition(code: UInt8(0x18 + $0.offset), name: $0.element)
    }
    return list
  }()

  /// Other names that the assembler takes for a code.
  static let synonyms: [(name: String, code: UInt8)] = [
    ("b", 0x08), ("z", 0x0b), ("na", 0x0d), ("nb", 0x18), ("ae", 0x18), ("nz", 0x1b),
  ]

  /// The condition with this name or synonym.
  static func named(_ name: String) -> FalconCondition? {
    if let synonym = synonyms.first(where: { $0.name == name }) {
      return all.first { $0.code == synonym.code }
    }
    return all.first { $0.name == name && !name.isEmpty }
  }
}
