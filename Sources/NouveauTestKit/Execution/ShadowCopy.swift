import Base

/// What the bytes of one mapping should be, kept by the kit from the writes it asked for.
///
/// Writes and reads of tasks may overlap in time. A byte is right when it is the last write's, or
/// one of a write that was in progress while the read or the other write was.
final class ShadowCopy {
  /// A write in progress.
  final class Write {
    let range: Range<Int>
    let bytes: [UInt8]
    fileprivate var overlapped = false

    fileprivate init(_ range: Range<Int>, _ bytes: [UInt8]) {
      self.range = range
      self.bytes = bytes
    }
  }

  /// A read in progress.
  final class Read {
    let range: Range<Int>
    fileprivate let before: [UInt8]
    fileprivate var others: [Alternative]

    fileprivate init(_ range: Range<Int>, _ before: [UInt8], _ others: [Alternative]) {
      self.range = range
      self.before = before
      self.others = others
    }
  }

  /// Bytes that are right beside those of the base.
  fileprivate struct Alternative {
    let range: Range<Int>
    let bytes: [UInt8]

    func byte(at offset: Int) -> UInt8? {
      range.contains(offset) ? bytes[offset - range.lowerBound] : nil
    }

    /// What is left of it outside `cut`.
    func without(_ cut: Range<Int>) -> [Alternative] {
      guard range.overlaps(cut) else { return [self] }
      return [
        range.lowerBound..<min(range.upperBound, max(cut.lowerBound, range.lowerBound)),
        max(range.lowerBound, min(cut.upperBound, range.upperBound))..<range.upperBound,
      ].filter { !$0.isEmpty }.map { part in
        Alternative(
          range: part,
          bytes: Array(
            bytes[part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound]))
      }
    }
  }

  /// Of the mapping.
  let byteCount: Int
  private let base: MappedMemory
  private var alternatives: [Alternative] = []
  private var writes: [Write] = []
  private var reads: [Read] = []
  /// Copies of this one for children that are being forked.
  private var forks: [ShadowCopy] = []

  init(byteCount: Int, from supply: MemorySupply? = nil) throws(KernelError) {
    self.byteCount = byteCount
    base = try MappedMemory(count: byteCount, from: supply)
  }

  /// Whether the bytes at `offset` are those of the last writes; false says nothing yet.
  func holds(_ bytes: [UInt8], at offset: Int) -> Bool {
    base.withBytes(at: offset, count: bytes.count) { bytes.hasBytes(of: $0) }
  }

  func beginWrite(_ range: Range<Int>, _ bytes: [UInt8]) -> Write {
    let write = Write(range, bytes)
    for other in writes where other.range.overlaps(range) {
      other.overlapped = true
      write.overlapped = true
    }
    for read in reads where read.range.overlaps(range) {
      read.others.append(Alternative(range: range, bytes: bytes))
    }
    for fork in forks { fork.alternatives.append(Alternative(range: range, bytes: bytes)) }
    writes.append(write)
    return write
  }

  /// The copy for a child of which a fork begins: what is written until ``endFork(_:)`` may or may
  /// not be in it.
  func beginFork() throws(KernelError) -> ShadowCopy {
    let copy = try ShadowCopy(byteCount: byteCount)
    copy.base.copy(from: base, at: 0, to: 0, length: byteCount)
    copy.alternatives =
      alternatives + writes.map { Alternative(range: $0.range, bytes: $0.bytes) }
    forks.append(copy)
    return copy
  }

  func endFork(_ copy: ShadowCopy) { forks.removeAll { $0 === copy } }

  /// Ends a write. One that failed may have stored some of its bytes.
  func end(_ write: Write, succeeded: Bool) {
    writes.removeAll { $0 === write }
    let mine = Alternative(range: write.range, bytes: write.bytes)
    guard succeeded else {
      alternatives.append(mine)
      return
    }
    if write.overlapped {
      let old = base.bytes(at: write.range.lowerBound, count: write.range.count)
      alternatives.append(Alternative(range: write.range, bytes: old))
    } else {
      alternatives = alternatives.flatMap { $0.without(write.range) }
    }
    base.store(bytes: write.bytes, at: write.range.lowerBound)
  }

  func beginRead(_ range: Range<Int>) -> Read {
    let read = Read(
      range, base.bytes(at: range.lowerBound, count: range.count),
      alternatives.filter { $0.range.overlaps(range) }
        + writes.filter { $0.range.overlaps(range) }
        .map { Alternative(range: $0.range, bytes: $0.bytes) })
    reads.append(read)
    return read
  }

  /// Ends a read; the first byte that no write explains, or nil.
  func end(_ read: Read, got: [UInt8]) -> (offset: Int, expected: UInt8, got: UInt8)? {
    reads.removeAll { $0 === read }
    let now = base.bytes(at: read.range.lowerBound, count: read.range.count)
    if got.hasBytes(of: now) || got.hasBytes(of: read.before) { return nil }
    for index in read.range.indices {
      let at = index - read.range.lowerBound
      guard at < got.count else { return (index, now[at], 0) }
      let byte = got[at]
      if byte == now[at] || byte == read.before[at] { continue }
      let isExplained = (read.others + alternatives).contains { $0.byte(at: index) == byte }
      if !isExplained { return (index, now[at], byte) }
    }
    return nil
  }

  /// Gives up a read that brought no bytes.
  func cancel(_ read: Read) { reads.removeAll { $0 === read } }

  /// The bytes by the last writes, without alternatives.
  func bytes(_ range: Range<Int>) -> [UInt8] {
    base.bytes(at: range.lowerBound, count: range.count)
  }
}
