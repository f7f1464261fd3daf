/// What a driver would need to initialise the board from this BIOS (devinit).
///
/// SOURCE: nouveau's nvkm/subdev/devinit/gm200.c and bios/pmu.c, the path of GM200 and later: the
/// tables and the boot script go to the PMU, whose DEVINIT application runs them.
public struct VBIOSDevinit: Hashable, Sendable, Encodable {
  /// A piece of the file.
  public struct Piece: Hashable, Sendable, Encodable {
    public let offset: Int
    public let size: Int
  }

  /// A program for the PMU.
  public struct Program: Hashable, Sendable, Encodable {
    /// 0x01 PRE_OS, 0x04 DEVINIT.
    public let type: UInt8
    public let offset: Int
    /// Addresses in the PMU's memory.
    public let initAddress: UInt32
    public let argumentAddress: UInt32
    public let bootAddress: UInt32
    public let dataAddress: UInt32
    public let boot: Piece
    public let code: Piece
    public let data: Piece

    /// The type's name; nil for one that nouveau doesn't use.
    public var name: String? {
      switch type {
      case Self.preOS: "PRE_OS"
      case Self.devinit: "DEVINIT"
      default: nil
      }
    }

    public static let preOS: UInt8 = 0x01
    public static let devinit: UInt8 = 0x04
  }

  /// Tables that the DEVINIT application reads.
  public let tables: Piece?
  /// The script that it runs.
  public let bootScript: Piece?
  /// The PMU's programs, as the table lists them.
  public let programs: [Program]
  /// What is missing, each in a sentence; empty when a board could be initialised from this BIOS.
  public let missing: [String]

  init(bit: BITTable?, in space: VBIOSAddressSpace, findings: inout [VBIOSError]) {
    guard let bit else {
      tables = nil
      bootScript = nil
      programs = []
      missing = ["the BIT table"]
      return
    }
    var missing: [String] = []
    (tables, bootScript) = Self.pointers(bit, in: space, missing: &missing)
    programs = Self.programs(bit, in: space, missing: &missing, findings: &findings)
    if !programs.contains(where: { $0.type == Program.devinit }) {
      missing.append("the PMU program DEVINIT (type 0x04); nouveau gives up with EINVAL")
    }
    self.missing = missing
  }

  private static func pointers(
    _ bit: BITTable, in space: VBIOSAddressSpace, missing: inout [String]
  ) -> (Piece?, Piece?) {
    guard let token = bit.token("I"), let at = token.offset, token.version == 1,
      token.length >= 0x1c
    else {
      missing.append("token 'I' version 1 of 28 bytes at least, required from GM200 on")
      return (nil, nil)
    }
    func piece(_ field: Int) -> Piece? {
      guard let pointer = space.rom.u16(at + field), let size = space.rom.u16(at + field + 2),
        pointer != 0, size != 0, let place = space.resolve(Int(pointer), Int(size))
      else { return nil }
      return Piece(offset: place, size: Int(size))
    }
    let tables = piece(0x14)
    let script = piece(0x18)
    if tables == nil { missing.append("the devinit tables") }
    if script == nil { missing.append("the boot script") }
    return (tables, script)
  }

  private static func programs(
    _ bit: BITTable, in space: VBIOSAddressSpace, missing: inout [String],
    findings: inout [VBIOSError]
  ) -> [Program] {
    guard let token = bit.token("p"), let at = token.offset, token.version == 2, token.length >= 4,
      let pointer = space.rom.u32(at), pointer != 0
    else {
      missing.append("token 'p' version 2 with the PMU table")
      return []
    }
    let rom = space.rom
    guard let table = space.resolve(Int(pointer), 4), let header = rom.u8(table + 1),
      let size = rom.u8(table + 2), let count = rom.u8(table + 3)
    else {
      findings.append(
        VBIOSError(
          at: at, "the PMU table is at \(HexText.prefixed(pointer, digits: 5)), not in the file"))
      missing.append("the PMU table")
      return []
    }
    var result: [Program] = []
    for index in 0..<Int(count) {
      let entry = table + Int(header) + index * Int(size)
      guard size >= 6, let type = rom.u8(entry), let pointer = rom.u32(entry + 2) else {
        findings.append(
          VBIOSError(at: entry, "entry \(index + 1) of \(count) of the PMU table is cut off"))
        break
      }
      if type == 0 || pointer == 0 { continue }
      if let program = Program(type, pointer: Int(pointer), in: space) {
        result.append(program)
      } else {
        findings.append(
          VBIOSError(
            at: entry,
            "the PMU program of type \(HexText.prefixed(type, digits: 2)) at"
              + " \(HexText.prefixed(pointer, digits: 5)) is not in the file"))
      }
    }
    return result
  }
}

extension VBIOSDevinit.Program {
  /// Bytes of a program's header; what it runs follows.
  static let headerSize = 0x30

  /// Nil when the header, the code or the data leave the file.
  init?(_ type: UInt8, pointer: Int, in space: VBIOSAddressSpace) {
    let rom = space.rom
    guard let at = space.resolve(pointer, Self.headerSize) else { return nil }
    func word(_ offset: Int) -> UInt32 { rom.u32(at + offset) ?? 0 }
    let payload = at + Self.headerSize
    let bootSize = Int(word(0x1c)) - Int(word(0x18))
    let code = VBIOSDevinit.Piece(offset: payload + max(0, bootSize), size: Int(word(0x20)))
    let data = VBIOSDevinit.Piece(offset: payload + Int(word(0x24)), size: Int(word(0x2c)))
    guard bootSize >= 0, rom.holds(payload, bootSize), rom.holds(code.offset, code.size),
      rom.holds(data.offset, data.size)
    else { return nil }
    self.type = type
    offset = at
    initAddress = word(0x08)
    argumentAddress = word(0x0c)
    bootAddress = word(0x10)
    dataAddress = word(0x28)
    boot = VBIOSDevinit.Piece(offset: payload, size: bootSize)
    self.code = code
    self.data = data
  }
}
