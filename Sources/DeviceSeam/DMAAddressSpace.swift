public import Base
public import KernelRuntime

/// Which way a mapping lets data move (`enum dma_data_direction`).
public enum DMADirection: UInt8, Sendable, Hashable {
  /// The device reads and writes.
  case bidirectional = 0
  /// The device reads host memory.
  case toDevice = 1
  /// The device writes host memory.
  case fromDevice = 2

  /// Whether a device may write through such a mapping.
  public var allowsDeviceWrite: Bool { self != .toDevice }
  /// Whether a device may read through such a mapping.
  public var allowsDeviceRead: Bool { self != .fromDevice }
}

/// Why the bus refused a device's access.
public enum DMAFault: Error, Hashable, Sendable {
  /// No mapping covers the address.
  case unmapped(DMAAddress)
  /// The mapping doesn't allow this direction.
  case permission(DMAAddress, isWrite: Bool)
  /// A write to another device that is off the bus: nobody tells the writer.
  case dropped(DMAAddress)
  /// A read of another device's memory that no bytes come back for.
  case unanswered(DMAAddress)
}

/// Bytes of host memory that a device may touch now: a place in RAM or in the coherent pool.
@frozen
public struct DMATarget {
  public let memory: MappedMemory
  public let offset: Int
  /// Bytes from `offset` that are covered by the same mapping.
  public let length: Int

  public init(memory: MappedMemory, offset: Int, length: Int) {
    self.memory = memory
    self.offset = offset
    self.length = length
  }
}

/// The bus addresses of one device: the only way from the device to host memory.
///
/// Each page that a device may reach is mapped first and unmapped afterwards, exactly once; an
/// access outside that is a fault, so that a copy after the unmapping is found and not lucky.
/// Bus addresses differ from physical ones by a constant, so that taking one for the other faults.
public final class DMAAddressSpace {
  /// Added to a physical address. SOURCE: none; any value that no physical address reaches.
  public static let busOffset: UInt64 = 1 << 40
  /// Where the coherent pool begins on the bus.
  public static let coherentBase: UInt64 = 1 << 42

  let kernel: Kernel
  private let ram: MappedMemory
  /// Mappings of each RAM page, by direction: three counters in one record.
  private let pages: RecordTable<Counts>
  private let coherent: CoherentPool
  /// Pages mapped now, each mapping counted.
  public internal(set) var mappedPages: UInt64 = 0
  /// Mappings made since the space was made.
  public internal(set) var totalMaps: UInt64 = 0
  /// Unmappings that no mapping matched: each is a driver's defect.
  public internal(set) var badUnmaps: [DMAAddress] = []
  /// Other devices' memory that this one may reach.
  var peers = PeerMappings()
  /// Whether there is another device's memory to write to; kept, since each launch asks.
  public internal(set) var hasPeers = false

  /// Three counters of 21 bits in one word, so that runs of pages are counted by plain additions.
  private struct Counts: BitwiseCopyable {
    var word: UInt64 = 0

    /// One mapping in a direction.
    @inline(__always)
    static func one(_ direction: DMADirection) -> UInt64 { 1 << (21 * UInt64(direction.rawValue)) }
    /// The bits of a direction's counter.
    @inline(__always)
    static func mask(_ direction: DMADirection) -> UInt64 { (1 << 21 - 1) * one(direction) }

    /// Mappings in any direction.
    var total: Int {
      Int(word & 0x1f_ffff) + Int(word >> 21 & 0x1f_ffff) + Int(word >> 42 & 0x1f_ffff)
    }

    @inline(__always)
    func allowDevice(isWrite: Bool) -> Bool {
      word & (Self.mask(.bidirectional) | Self.mask(isWrite ? .fromDevice : .toDevice)) != 0
    }
  }

  /// - Parameters:
  ///   - ram: the machine's RAM; PFN `n` begins at byte `n * 4096`.
  ///   - coherentBytes: the size of the pool for ``allocateCoherent(bytes:)``.
  ///   - supply: where the host's memory comes from; nil for mappings of its own.
  public init(
    _ kernel: Kernel, ram: MappedMemory, coherentBytes: Int = 4 << 20,
    from supply: MemorySupply? = nil
  ) throws(KernelError) {
    self.kernel = kernel
    self.ram = ram
    pages = try RecordTable(count: ram.count / PageSize.bytes, from: supply)
    coherent = try CoherentPool(byteCount: coherentBytes, from: supply)
  }

  // MARK: the driver's side

  /// Maps a RAM page for the device (`dma_map_page`). Passes `dma.map`.
  public func map(_ pfn: PFN, _ direction: DMADirection) throws(KernelError) -> DMAAddress {
    try kernel.failures.check(.dmaMap)
    invariant(pfn.index < pages.count, "dma_map_page of \(pfn), which is no RAM page")
    count(pfn.index..<pfn.index + 1, direction)
    mappedPages += 1
    totalMaps += 1
    kernel.trace.record(.dmaMap, pfn.rawValue, 1, UInt64(direction.rawValue))
    return DMAAddress(pfn.physical.rawValue + Self.busOffset)
  }

  /// Maps RAM pages in a row, each as ``map(_:_:)`` does, and gives the first one's address; the
  /// others follow it. For more than one page no failure may be armed.
  public func map(
    _ first: PFN, count: Int, _ direction: DMADirection
  ) throws(KernelError) -> DMAAddress {
    if count == 1 { return try map(first, direction) }
    kernel.failures.pass(.dmaMap, times: count)
    self.count(first.index..<first.index + count, direction)
    mappedPages += UInt64(count)
    totalMaps += UInt64(count)
    kernel.trace.record(.dmaMap, first.rawValue, UInt64(count), UInt64(direction.rawValue))
    return DMAAddress(first.physical.rawValue + Self.busOffset)
  }

  /// Takes mappings of pages in a row back.
  public func unmap(_ first: DMAAddress, count: Int, _ direction: DMADirection) {
    guard let low = pageIndex(first), low + count <= pages.count,
      areMapped(low..<(low + count), direction)
    else {
      for index in 0..<UInt64(count) {
        unmap(first + index << UInt64(PageSize.shift), direction)
      }
      return
    }
    let one = Counts.one(direction)
    pages.update(low..<low + count) { $0.word &-= one }
    mappedPages -= UInt64(count)
    kernel.trace.record(.dmaUnmap, UInt64(low), UInt64(count), UInt64(direction.rawValue))
  }

  private func areMapped(_ range: Range<Int>, _ direction: DMADirection) -> Bool {
    let mask = Counts.mask(direction)
    for index in range where pages[index].word & mask == 0 { return false }
    return true
  }

  private func count(_ range: Range<Int>, _ direction: DMADirection) {
    let one = Counts.one(direction)
    let mask = Counts.mask(direction)
    var full: UInt64 = 0
    pages.update(range) { counts in
      full |= counts.word & mask == mask ? 1 : 0
      counts.word &+= one
    }
    invariant(full == 0, "a page mapped \(1 << 21) times for a device")
  }

  /// Takes a mapping back (`dma_unmap_page`). An address that isn't mapped so is recorded in
  /// ``badUnmaps`` and changes nothing.
  public func unmap(_ address: DMAAddress, _ direction: DMADirection) {
    guard let index = pageIndex(address), areMapped(index..<index + 1, direction) else {
      badUnmaps.append(address)
      if let index = pageIndex(address) {
        kernel.trace.record(.dmaBadUnmap, UInt64(index), 1, UInt64(direction.rawValue))
      }
      return
    }
    pages[index].word -= Counts.one(direction)
    mappedPages -= 1
    kernel.trace.record(.dmaUnmap, UInt64(index), 1, UInt64(direction.rawValue))
  }

  /// Memory that driver and device share (`dma_alloc_coherent`), page aligned and zeroed.
  /// Passes `dma.alloc_coherent`.
  public func allocateCoherent(bytes: Int) throws(KernelError) -> CoherentBuffer {
    try kernel.failures.check(.dmaAllocCoherent)
    return try coherent.allocate(bytes: bytes)
  }

  /// Returns coherent memory; the device can't reach it afterwards.
  public func freeCoherent(_ buffer: CoherentBuffer) { coherent.free(buffer) }

  /// Coherent bytes in use.
  public var coherentBytesInUse: Int { coherent.bytesInUse }

  // MARK: the device's side

  /// Where `address` leads, if a mapping allows it; the caller splits accesses at mapping ends.
  ///
  /// - Parameter wanted: bytes that the caller would use: pages that follow are looked at up to
  ///   there.
  @inline(__always)
  public func resolve(
    _ address: DMAAddress, isWrite: Bool, wanted: UInt64 = 0
  ) throws(DMAFault) -> DMATarget {
    if address.rawValue >= Self.coherentBase {
      if address.rawValue >= Self.peerBase {
        return try peers.resolve(address.rawValue - Self.peerBase, address, isWrite: isWrite)
      }
      guard let target = coherent.resolve(address) else { throw .unmapped(address) }
      return target
    }
    guard let index = pageIndex(address) else { throw .unmapped(address) }
    let counts = pages[index]
    guard counts.allowDevice(isWrite: isWrite) else {
      if counts.word != 0 {
        throw .permission(address, isWrite: isWrite)
      }
      throw .unmapped(address)
    }
    let offset = address.pageOffset
    var length = PageSize.bytes - offset
    if UInt64(length) < wanted {
      // Bus addresses differ from physical ones by a constant, so pages in a row lie in a row.
      let whole = UInt64((pages.count - index) << PageSize.shift - offset)
      let limit = Int(min(wanted, whole))
      var next = index + 1
      while length < limit, pages[next].allowDevice(isWrite: isWrite) {
        length += PageSize.bytes
        next += 1
      }
    }
    return DMATarget(
      memory: ram, offset: index << PageSize.shift | offset, length: length)
  }

  private func pageIndex(_ address: DMAAddress) -> Int? {
    guard address.rawValue >= Self.busOffset else { return nil }
    let index = (address.rawValue - Self.busOffset) >> UInt64(PageSize.shift)
    return index < UInt64(pages.count) ? Int(index) : nil
  }

  /// Mappings of one RAM page now, for audits.
  public func mappingCount(of pfn: PFN) -> Int {
    guard pfn.index < pages.count else { return 0 }
    return pages[pfn.index].total
  }
}

extension TraceKind {
  /// Pages of RAM in a row were mapped for a device; the direction is a ``DMADirection``.
  static let dmaMap = TraceKind("dma.map", ["pfn", "pages", "direction"])
  /// Their mappings were taken back.
  static let dmaUnmap = TraceKind("dma.unmap", ["pfn", "pages", "direction"])
  /// A mapping was taken back that there wasn't.
  static let dmaBadUnmap = TraceKind("dma.bad_unmap", ["pfn", "pages", "direction"])
}
