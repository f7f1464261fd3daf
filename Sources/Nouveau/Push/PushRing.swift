import Base
import DeviceSeam
import KernelRuntime
import NVHardware

/// A channel's push buffer and the ring of segments that points into it.
///
/// The buffer is used round and round. A segment's room is free again once the host has moved past
/// its entry and doesn't read inside it any more.
///
/// INVARIANT: `used` is the number of ring entries between `gpGet` and `gpPut`, and bytes from
/// `tail` to `head`, round the end, belong to them.
final class PushRing {
  private let device: NVKMDevice
  private let space: GPUAddressSpace
  let memory: PushMemory
  /// Where the GPU sees the push buffer; the ring follows it.
  let pushAddress: GPUVirtualAddress
  let pushBytes: Int
  let entryCount: Int
  private let mappedBytes: UInt64

  /// Byte offset where the next segment begins.
  private(set) var head = 0
  /// Byte offset of the oldest segment that the host may still read.
  private(set) var tail = 0
  private(set) var gpPut: UInt32 = 0
  /// The host's place as last read.
  private(set) var gpGet: UInt32 = 0
  /// For each entry, where its segment begins and ends.
  private var segments: [Segment]

  private struct Segment {
    var start: UInt32 = 0
    var end: UInt32 = 0
  }

  /// Kernel: nouveau_channel_prep (nouveau_chan.c)
  init(_ device: NVKMDevice, _ space: GPUAddressSpace, _ bar1: BAR1, _ options: DriverOptions)
    async throws(KernelError)
  {
    invariant(
      options.pushBytes.nonzeroBitCount == 1 && options.ringEntries.nonzeroBitCount == 1
        && options.ringEntries >= 2 && options.pushBytes >= 4096,
      "push buffer of \(options.pushBytes) bytes and \(options.ringEntries) entries")
    self.device = device
    self.space = space
    pushBytes = options.pushBytes
    entryCount = options.ringEntries
    segments = [Segment](repeating: Segment(), count: entryCount)
    let wanted = UInt64(pushBytes + entryCount * GPFIFOEntry.byteCount)
    let bytes = PageSize.pages(forBytes: wanted) << UInt64(PageSize.shift)
    mappedBytes = bytes
    let (made, target) = try await Self.allocate(device, bar1, bytes, options.pushInVRAM, space)
    memory = made
    do throws(KernelError) {
      let address = try space.allocateRange(bytes: bytes)
      do throws(KernelError) {
        try await space.map(target, at: address, bytes: bytes)
      } catch {
        space.freeRange(address, bytes: bytes)
        throw error
      }
      pushAddress = address
    } catch {
      await Self.free(device, made, bytes, space)
      throw error
    }
  }

  private static func allocate(
    _ device: NVKMDevice, _ bar1: BAR1, _ bytes: UInt64, _ inVRAM: Bool, _ space: GPUAddressSpace
  ) async throws(KernelError) -> (PushMemory, MappedTarget) {
    if inVRAM {
      let object = try space.memory.allocate(bytes: Int(bytes), zeroed: false)
      do throws(KernelError) {
        let window = try await bar1.map(object.address, bytes: bytes)
        return (.vram(bar1, object, window), .vram(object.address))
      } catch {
        space.memory.free(object)
        throw error
      }
    }
    let buffer = try device.pci.dma.allocateCoherent(bytes: Int(bytes))
    guard DMAMask(bits: device.chip.dmaBits).covers(buffer.address, buffer.byteCount) else {
      device.pci.dma.freeCoherent(buffer)
      throw .EIO
    }
    return (.coherent(buffer), .host(buffer.address))
  }

  private static func free(
    _ device: NVKMDevice, _ memory: PushMemory, _ bytes: UInt64, _ space: GPUAddressSpace
  ) async {
    switch memory {
    case .coherent(let buffer): device.pci.dma.freeCoherent(buffer)
    case .vram(let bar1, let object, let window):
      await bar1.unmap(window, bytes: bytes)
      space.memory.free(object)
    }
  }

  func destroy() async {
    await space.unmap(pushAddress, bytes: mappedBytes)
    space.freeRange(pushAddress, bytes: mappedBytes)
    await Self.free(device, memory, mappedBytes, space)
  }

  /// Where the GPU sees the ring.
  var ringAddress: GPUVirtualAddress { pushAddress + UInt64(pushBytes) }
  /// The longest segment that ever fits.
  var maximumDwords: Int { pushBytes / 4 - 1 }

  /// Forgets what was pushed; the host must not use the ring.
  func reset() {
    (head, tail, gpPut, gpGet) = (0, 0, 0, 0)
  }

  // MARK: room

  private var mask: UInt32 { UInt32(entryCount - 1) }

  /// Takes room for `dwords` in one piece, moving to the buffer's begin if the end is too near.
  /// False when the host must move on first.
  ///
  /// Kernel: nv50_dma_wait (nouveau_dma.c)
  func reserve(_ dwords: Int) -> Bool {
    guard (gpPut &+ 1) & mask != gpGet else { return false }
    let bytes = 4 * dwords
    if gpPut == gpGet {
      // Idle: begin again at the front, so that a light load touches few pages.
      (head, tail) = (0, 0)
      return true
    }
    if head >= tail {
      if bytes <= pushBytes - head { return true }
      // Equality would look like an empty buffer.
      guard bytes < tail else { return false }
      head = 0
      return true
    }
    return bytes < tail - head
  }

  /// Takes note of how far the host is: `get` of the ring, `reading` in the push buffer.
  ///
  /// Kernel: nv50_dma_push_wait, READ_GET (nouveau_dma.c)
  func advance(to get: UInt32, reading: GPUVirtualAddress) {
    let get = get & mask
    while gpGet != get {
      let next = (gpGet &+ 1) & mask
      let segment = segments[Int(gpGet)]
      // The newest entry counts as taken while its segment is still being fetched.
      if next == get && reading >= pushAddress + UInt64(segment.start)
        && reading < pushAddress + UInt64(segment.end)
      {
        return
      }
      tail = Int(segment.end) == pushBytes ? 0 : Int(segment.end)
      gpGet = next
    }
  }

  /// Writes the entry of what `writer` wrote; the caller tells the host. Nil when nothing was.
  ///
  /// Kernel: nv50_dma_push (nouveau_dma.c)
  func submit(_ writer: PushWriter) -> (dwords: Int, gpPut: UInt32)? {
    let dwords = (writer.cursor - head) / 4
    guard dwords > 0 else { return nil }
    let entry = GPFIFOEntry(segment: pushAddress + UInt64(head), dwords: UInt32(dwords))
    let place = pushBytes + Int(gpPut) * GPFIFOEntry.byteCount
    memory.store(entry.word0, place)
    memory.store(entry.word1, place + 4)
    segments[Int(gpPut)] = Segment(start: UInt32(head), end: UInt32(writer.cursor))
    // Not wrapped yet: at 0, a full buffer would look empty.
    head = writer.cursor
    gpPut = (gpPut &+ 1) & mask
    return (dwords, gpPut)
  }
}
