import Base
import NVHardware

/// Writes methods into the room that a channel has reserved; more than that traps.
package struct PushWriter {
  let memory: PushMemory
  /// Byte offset of the next dword.
  private(set) var cursor: Int
  /// Byte offset past the room.
  private let end: Int

  init(_ memory: PushMemory, from start: Int, dwords: Int) {
    self.memory = memory
    cursor = start
    end = start + 4 * dwords
  }

  /// Dwords that still fit.
  package var room: Int { (end - cursor) / 4 }

  /// One dword as it is.
  @inline(__always)
  package mutating func word(_ value: UInt32) {
    invariant(cursor < end, "push buffer overrun: more was written than reserved")
    memory.store(value, cursor)
    cursor += 4
  }

  /// The header of `count` dwords for `method` and the methods after it. `method` is in bytes.
  ///
  /// Kernel: PUSH_MTHD (include/nvif/push.h)
  @inline(__always)
  package mutating func begin(_ subchannel: UInt32, _ method: UInt32, count: UInt32) {
    word(MethodHeader.incrementing(subchannel, method, count: count).word)
  }

  /// `values` to `method` and the methods after it.
  @inline(__always)
  package mutating func method(_ subchannel: UInt32, _ method: UInt32, _ values: UInt32...) {
    begin(subchannel, method, count: UInt32(values.count))
    for value in values { word(value) }
  }

  /// A value of at most 13 bits to `method`, in one dword.
  ///
  /// Kernel: PUSH_IMMD (include/nvif/push.h)
  @inline(__always)
  package mutating func immediate(_ subchannel: UInt32, _ method: UInt32, _ value: UInt32) {
    word(MethodHeader.immediate(subchannel, method, value).word)
  }
}
