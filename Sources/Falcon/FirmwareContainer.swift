/// A falcon's microcode in the container that nouveau's loader expects.
///
/// The file starts with `nvfw_bin_hdr`; what its `header_offset` points to is this project's own,
/// as each of NVIDIA's image kinds has a header of its own there. All words are little-endian:
///
///     0x00  bin_magic      0x000010de
///     0x04  bin_ver        1
///     0x08  bin_size       the file's size
///     0x0c  header_offset
///     0x10  data_offset    the payload
///     0x14  data_size
///
///     header_offset +
///     0x00  header_size    0x48 or more
///     0x04  chip           bits 28:20 of PMC_BOOT_0, 0x0c0 for GF100
///     0x08  falcon version 3
///     0x0c  image version
///     0x10  code start in the payload
///     0x14  code size      a multiple of 0x100
///     0x18  data start in the payload
///     0x1c  data size      a multiple of 4
///     0x20  entry point
///     0x24  zero
///     0x28  SHA-256 of the whole file without these 32 bytes
///
/// SOURCE: Linux include/nvfw/fw.h for the first six words.
public struct FirmwareContainer: Hashable, Sendable {
  public static let magic: UInt32 = 0x0000_10de
  public static let containerVersion: UInt32 = 1
  public static let processorVersion: UInt32 = 3

  /// The chip the image is for: bits 28:20 of PMC_BOOT_0.
  public let chip: UInt32
  public let version: UInt32
  public let code: [UInt8]
  public let data: [UInt8]
  /// The virtual address at which the processor starts.
  public let entry: UInt32

  private enum Place {
    static let header = 0x18
    static let headerSize = 0x48
    static let payload = 0x60
    static let digest = 0x28
  }

  /// Wraps an assembled program; code and data are padded to whole pages and words.
  public init(program: FalconProgram, chip: UInt32, version: UInt32, entry: UInt32 = 0) {
    self.init(
      code: program.code, data: program.data, chip: chip, version: version, entry: entry)
  }

  /// Wraps code and data, which are padded to whole pages and words.
  package init(code: [UInt8], data: [UInt8], chip: UInt32, version: UInt32, entry: UInt32 = 0) {
    self.chip = chip
    self.version = version
    self.entry = entry
    self.code = Self.padded(code, to: 0x100)
    self.data = Self.padded(data, to: 4)
  }

  private static func padded(_ bytes: [UInt8], to unit: Int) -> [UInt8] {
    bytes + Array(repeating: 0, count: (unit - bytes.count % unit) % unit)
  }

  /// The file's bytes.
  public var bytes: [UInt8] {
    let payload = code + data
    var file = Self.words([
      Self.magic, Self.containerVersion, UInt32(Place.payload + payload.count),
      UInt32(Place.header), UInt32(Place.payload), UInt32(payload.count),
    ])
    file += Self.words([
      UInt32(Place.headerSize), chip, Self.processorVersion, version, 0, UInt32(code.count),
      UInt32(code.count), UInt32(data.count), entry, 0,
    ])
    return file + SHA256.digest(file + payload) + payload
  }

  /// Puts the digest that belongs to a file into it, whatever else is wrong with the file.
  package static func seal(_ file: inout [UInt8]) {
    let digest = Place.header + Place.digest
    guard file.count >= digest + 32 else { return }
    let covered = Array(file[..<digest]) + Array(file[(digest + 32)...])
    file.replaceSubrange(digest..<digest + 32, with: SHA256.digest(covered))
  }

  private static func words(_ words: [UInt32]) -> [UInt8] {
    words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) } }
  }

  /// Reads a file. `expectedChip`, when given, must be the image's.
  public init(parsing file: [UInt8], expectedChip: UInt32? = nil) throws(FirmwareError) {
    let reader = Reader(file: file)
    let magic = try reader.word(0x00)
    guard magic == Self.magic else { throw .wrongMagic(offset: 0x00, found: magic) }
    let container = try reader.word(0x04)
    guard container == Self.containerVersion else {
      throw .unsupportedVersion(offset: 0x04, found: container)
    }
    let size = try reader.word(0x08)
    guard Int(size) <= file.count else {
      throw .truncated(offset: 0x08, needed: Int(size), size: file.count)
    }
    guard Int(size) == file.count else {
      throw .wrongSize(offset: 0x08, stated: size, size: file.count)
    }
    let header = try reader.offset(0x0c, least: Place.header)
    let payload = try reader.part(start: 0x10, length: 0x14, base: 0, limit: file.count)
    let headerSize = try reader.word(header)
    guard Int(headerSize) >= Place.headerSize, header + Int(headerSize) <= file.count,
      payload.lowerBound >= header + Int(headerSize)
    else { throw .badHeader(offset: header, stated: headerSize) }

    chip = try reader.word(header + 0x04)
    if let expectedChip, chip != expectedChip {
      throw .wrongChip(offset: header + 0x04, found: chip, expected: expectedChip)
    }
    let processor = try reader.word(header + 0x08)
    guard processor == Self.processorVersion else {
      throw .wrongProcessor(offset: header + 0x08, found: processor)
    }
    version = try reader.word(header + 0x0c)
    let codePart = try reader.part(
      start: header + 0x10, length: header + 0x14, base: payload.lowerBound,
      limit: payload.upperBound, unit: 0x100)
    let dataPart = try reader.part(
      start: header + 0x18, length: header + 0x1c, base: payload.lowerBound,
      limit: payload.upperBound, unit: 4)
    entry = try reader.word(header + 0x20)
    guard Int(entry) < codePart.count else { throw .badEntry(offset: header + 0x20, entry: entry) }
    let digest = header + Place.digest
    let covered = Array(file[..<digest]) + Array(file[(digest + 32)...])
    guard Array(file[digest..<digest + 32]) == SHA256.digest(covered) else {
      throw .badDigest(offset: digest)
    }
    code = Array(file[codePart])
    data = Array(file[dataPart])
  }
}

/// Reads words and ranges of a file, checking each against the file's end.
private struct Reader {
  /// The largest code or data that a falcon of version 3 holds.
  static let largestPart = 0x10000

  let file: [UInt8]

  func word(_ offset: Int) throws(FirmwareError) -> UInt32 {
    guard offset >= 0, offset <= file.count - 4 else {
      throw .truncated(offset: offset, needed: 4, size: file.count)
    }
    return file[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// A word that is the offset of a structure, aligned and not before `least`.
  func offset(_ place: Int, least: Int) throws(FirmwareError) -> Int {
    let value = try word(place)
    guard value & 3 == 0, Int(value) >= least else {
      throw .badHeader(offset: place, stated: value)
    }
    return Int(value)
  }

  /// The bytes that a start and a length describe, relative to `base`.
  func part(
    start: Int, length: Int, base: Int, limit: Int, unit: Int? = nil
  ) throws(FirmwareError) -> Range<Int> {
    let first = try word(start)
    let count = try word(length)
    let low = base + Int(first)
    guard low <= limit, Int(count) <= limit - low else {
      throw .badPart(offset: start, start: first, length: count)
    }
    if let unit, Int(count) % unit != 0 || Int(count) > Self.largestPart {
      throw .badPart(offset: length, start: first, length: count)
    }
    return low..<low + Int(count)
  }
}
