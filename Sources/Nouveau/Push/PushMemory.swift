import Base
import DeviceSeam

/// Where a push buffer lies: system memory that CPU and GPU share, or VRAM behind BAR1.
enum PushMemory {
  case coherent(CoherentBuffer)
  case vram(BAR1, InstanceObject, GPUVirtualAddress)

  @inline(__always)
  func store(_ word: UInt32, _ byte: Int) {
    switch self {
    case .coherent(let buffer): buffer.store(word, at: byte)
    case .vram(let bar1, _, let base): bar1.write32(word, base + UInt64(byte))
    }
  }
}
