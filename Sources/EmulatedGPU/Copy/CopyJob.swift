import Base

/// Bytes of one memory: checked, lying together.
struct CopyRun: BitwiseCopyable, Sendable {
  var memory: UInt8
  var offset: Int
  var length: Int
}

/// One move: `length` bytes from one memory to another.
struct CopySegment: BitwiseCopyable, Sendable {
  var source: UInt8
  var target: UInt8
  var from: Int
  var to: Int
  var length: Int
}

/// The bytes of one launch, resolved and checked: everything a worker thread needs, and nothing of
/// the model besides memory.
struct CopyJob: Sendable {
  /// Memories that segments name by position.
  private(set) var memories: [MappedMemory] = []
  /// A source that reads as zero and a target that drops: a sparse page.
  static let nowhere: UInt8 = 255
  var segments: [CopySegment] = []
  /// What a fill repeats; empty for a copy. Element boundaries count from the first byte.
  var pattern: [UInt8] = []
  var fills: [CopyRun] = []
  /// For a remap that reads: the byte streams of both sides.
  var remap: Remap?
  var reads: [CopyRun] = []

  /// glibc's memcpy uses stores that bypass the cache above 3/4 of the shared cache's size, which
  /// are slower here; pieces of this size stay below.
  private static let piece = 256 << 10

  mutating func clear() {
    segments.removeAll(keepingCapacity: true)
    fills.removeAll(keepingCapacity: true)
    reads.removeAll(keepingCapacity: true)
    pattern.removeAll(keepingCapacity: true)
    remap = nil
  }

  /// Whether nothing is to be moved.
  var isEmpty: Bool { segments.isEmpty && fills.isEmpty }

  /// Keeps the first `count` bytes of what is written.
  mutating func truncate(to count: UInt64) {
    var left = Int(count)
    for index in segments.indices {
      segments[index].length = min(left, segments[index].length)
      left -= segments[index].length
    }
    for index in fills.indices {
      fills[index].length = min(left, fills[index].length)
      left -= fills[index].length
    }
  }

  /// The position of a memory, which is added when it is new.
  @inline(__always)
  mutating func position(of memory: MappedMemory) -> UInt8 {
    for index in memories.indices where memories[index] === memory { return UInt8(index) }
    memories.append(memory)
    return UInt8(memories.count - 1)
  }

  /// Moves the bytes.
  func run() {
    if let remap {
      runRemap(remap)
      return
    }
    for segment in segments where segment.target != Self.nowhere {
      let target = memories[Int(segment.target)]
      if segment.source == Self.nowhere {
        target.fill(0, at: segment.to, length: segment.length)
        continue
      }
      let source = memories[Int(segment.source)]
      var done = 0
      while done < segment.length {
        let count = min(Self.piece, segment.length - done)
        target.copy(
          from: source, at: segment.from + done, to: segment.to + done, length: count)
        done += count
      }
    }
    if !pattern.isEmpty { runFill() }
  }

  private func runFill() {
    var phase = 0
    let isUniform = pattern.allSatisfy { $0 == pattern[0] }
    for fill in fills {
      defer { phase = (phase + fill.length) % pattern.count }
      guard fill.memory != Self.nowhere else { continue }
      let memory = memories[Int(fill.memory)]
      if isUniform {
        memory.fill(pattern[0], at: fill.offset, length: fill.length)
      } else {
        Self.repeatPattern(pattern, phase, memory, fill)
      }
    }
  }

  /// Writes one stretch of pattern, then doubles it.
  private static func repeatPattern(
    _ pattern: [UInt8], _ phase: Int, _ memory: MappedMemory, _ fill: CopyRun
  ) {
    let first = min(fill.length, pattern.count)
    memory.store(
      bytes: (0..<first).map { pattern[(phase + $0) % pattern.count] }, at: fill.offset)
    var done = first
    while done < fill.length {
      let count = min(done, min(piece, fill.length - done))
      // INVARIANT: `done` is a multiple of the period while bytes are left, so the stretch's
      // beginning continues it.
      memory.copy(from: memory, at: fill.offset, to: fill.offset + done, length: count)
      done += count
      if done % pattern.count != 0, done < fill.length {
        let rest = min(pattern.count - done % pattern.count, fill.length - done)
        memory.copy(
          from: memory, at: fill.offset + done % pattern.count, to: fill.offset + done,
          length: rest)
        done += rest
      }
    }
  }

  private func runRemap(_ remap: Remap) {
    var source: [UInt8] = []
    for run in reads {
      source +=
        run.memory == Self.nowhere
        ? [UInt8](repeating: 0, count: run.length)
        : memories[Int(run.memory)].bytes(at: run.offset, count: run.length)
    }
    var target: [UInt8] = []
    for run in fills {
      target +=
        run.memory == Self.nowhere
        ? [UInt8](repeating: 0, count: run.length)
        : memories[Int(run.memory)].bytes(at: run.offset, count: run.length)
    }
    // A launch that faulted half-way leaves a part of an element; it isn't written.
    let elements = min(source.count / remap.sourceBytes, target.count / remap.targetBytes)
    if remap.readsNothing {
      source = [UInt8](
        repeating: 0, count: target.count / remap.targetBytes * remap.sourceBytes)
    } else {
      target.removeLast(target.count - elements * remap.targetBytes)
    }
    remap.apply(source, to: &target)
    var at = 0
    for run in fills {
      let count = min(run.length, target.count - at)
      if count > 0, run.memory != Self.nowhere {
        memories[Int(run.memory)].store(
          bytes: [UInt8](target[at..<(at + count)]), at: run.offset)
      }
      at += max(0, count)
    }
  }
}
