/// What a hostile user of channels submits: rounds of ring entries and push buffer words.
///
/// Any bytes make an input; what is missing at the end reads as zero.
struct PushBufferInput {
  /// One doorbell of one channel.
  struct Round {
    /// Which of the two channels: 0 or 1.
    var channel = 0
    /// The driver writes this to GP_PUT, rather than the number of entries it has put.
    var put: UInt32?
    /// After an error the driver puts a NOP in place of the offending method, as nouveau does.
    var replacesMethod = true
    /// The driver asks for the channel's preemption as soon as it has rung the doorbell.
    var preempts = false
    /// The driver takes mappings of host memory back at the same moment.
    var unmaps = false
    var entries: [UInt64] = []
    var words: [UInt32] = []
  }

  static let mostEntries = 8
  static let mostWords = 0x800
  static let mostRounds = 4

  var isPrivileged = true
  var isAuthorized = true
  /// Whether acquires time out, after about a millisecond.
  var hasTimeout = true
  var replaysFaults = false
  /// Both channels stand on the graphics engine's runlist.
  var onGraphics = false
  /// The chip whose copy engines run microcode.
  var onFalcon = false
  var rounds: [Round] = []

  init() {}

  init(_ bytes: [UInt8]) {
    var reader = ByteReader(bytes: bytes)
    let options = reader.byte()
    isPrivileged = options & 1 != 0
    isAuthorized = options & 2 != 0
    hasTimeout = options & 4 != 0
    replaysFaults = options & 8 != 0
    onGraphics = options & 16 != 0
    onFalcon = options & 32 != 0
    for _ in 0..<1 + Int(options >> 6) { rounds.append(Self.round(&reader)) }
  }

  private static func round(_ reader: inout ByteReader) -> Round {
    var round = Round()
    let flags = reader.byte()
    round.channel = Int(flags & 1)
    round.replacesMethod = flags & 2 == 0
    round.preempts = flags & 4 != 0
    round.unmaps = flags & 16 != 0
    if flags & 8 != 0 { round.put = reader.word() }
    let entries = min(mostEntries, Int(reader.byte()))
    let words = min(mostWords, Int(reader.half()))
    for _ in 0..<entries { round.entries.append(reader.long()) }
    for _ in 0..<words { round.words.append(reader.word()) }
    return round
  }

  /// The input as bytes, which ``init(_:)`` reads back.
  var bytes: [UInt8] {
    var writer = ByteWriter()
    let options = [
      isPrivileged, isAuthorized, hasTimeout, replaysFaults, onGraphics, onFalcon,
    ]
    let count = max(1, min(Self.mostRounds, rounds.count))
    writer.byte(Self.bits(options) | UInt8(count - 1) << 6)
    for round in rounds.prefix(Self.mostRounds) {
      writer.byte(
        Self.bits([
          round.channel == 1, !round.replacesMethod, round.preempts, round.put != nil,
          round.unmaps,
        ]))
      if let put = round.put { writer.word(put) }
      writer.byte(UInt8(min(Self.mostEntries, round.entries.count)))
      writer.half(UInt16(min(Self.mostWords, round.words.count)))
      for entry in round.entries.prefix(Self.mostEntries) { writer.long(entry) }
      for word in round.words.prefix(Self.mostWords) { writer.word(word) }
    }
    return writer.bytes
  }

  /// The first flag in bit 0.
  private static func bits(_ flags: [Bool]) -> UInt8 {
    flags.reversed().reduce(0) { $0 << 1 | ($1 ? 1 : 0) }
  }
}

/// Reads little-endian numbers; zero past the end.
private struct ByteReader {
  let bytes: [UInt8]
  private var at = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func byte() -> UInt8 {
    defer { at += 1 }
    return at < bytes.count ? bytes[at] : 0
  }

  mutating func half() -> UInt16 { UInt16(byte()) | UInt16(byte()) << 8 }
  mutating func word() -> UInt32 { UInt32(half()) | UInt32(half()) << 16 }
  mutating func long() -> UInt64 { UInt64(word()) | UInt64(word()) << 32 }
}

private struct ByteWriter {
  private(set) var bytes: [UInt8] = []

  mutating func byte(_ value: UInt8) { bytes.append(value) }

  mutating func half(_ value: UInt16) {
    byte(UInt8(truncatingIfNeeded: value))
    byte(UInt8(truncatingIfNeeded: value >> 8))
  }

  mutating func word(_ value: UInt32) {
    half(UInt16(truncatingIfNeeded: value))
    half(UInt16(truncatingIfNeeded: value >> 16))
  }

  mutating func long(_ value: UInt64) {
    word(UInt32(truncatingIfNeeded: value))
    word(UInt32(truncatingIfNeeded: value >> 32))
  }
}
