/// Memory of a bench: as much as addresses reach, zero until it is written.
final class PCOPYBenchMemory: FalconMemory {
  private static let pageBytes: UInt64 = 4096
  private struct Page: Hashable {
    let target: FalconMemoryTarget
    let number: UInt64
  }
  private var pages: [Page: [UInt8]] = [:]

  func read(
    _ target: FalconMemoryTarget, at address: UInt64, count: Int
  ) throws(FalconMemoryFault) -> [UInt8] {
    bytes(target, at: address, count: count)
  }

  func write(
    _ bytes: [UInt8], to target: FalconMemoryTarget, at address: UInt64
  ) throws(FalconMemoryFault) {
    store(bytes, target, at: address)
  }

  func bytes(_ target: FalconMemoryTarget, at address: UInt64, count: Int) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(count)
    while result.count < count {
      let at = address &+ UInt64(result.count)
      let offset = Int(at % Self.pageBytes)
      let run = min(count - result.count, Int(Self.pageBytes) - offset)
      if let page = pages[Page(target: target, number: at / Self.pageBytes)] {
        result += page[offset..<offset + run]
      } else {
        result += [UInt8](repeating: 0, count: run)
      }
    }
    return result
  }

  func store(_ bytes: [UInt8], _ target: FalconMemoryTarget, at address: UInt64) {
    var done = 0
    while done < bytes.count {
      let at = address &+ UInt64(done)
      let offset = Int(at % Self.pageBytes)
      let run = min(bytes.count - done, Int(Self.pageBytes) - offset)
      pages[
        Page(target: target, number: at / Self.pageBytes),
        default: [UInt8](repeating: 0, count: Int(Self.pageBytes))
      ].replaceSubrange(offset..<offset + run, with: bytes[done..<done + run])
      done += run
    }
  }
}
