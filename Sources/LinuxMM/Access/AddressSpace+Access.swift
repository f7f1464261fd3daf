public import Base
import KernelRuntime

// What a program does: it reads and writes bytes at any address and of any length. Each page is
// translated as a CPU would; what can't be translated faults and is tried again.
extension AddressSpace {
  /// Where a byte lies in the flat physical space (see ``MemoryManager/backing(_:)``), with the
  /// entry's young and dirty bits set as the CPU sets them; nil when the access faults.
  @inline(__always)
  func translate(_ address: VirtualAddress, write: Bool) -> Int? {
    typealias Bit = PageTableEntry.Bit
    guard let slot = leafSlot(address) else { return translateHuge(address, write: write) }
    let entries = tables.entries
    let entry = entries[slot].rawValue
    let needed = write ? Bit.present | Bit.write : Bit.present
    guard entry & (needed | Bit.noAccess) == needed else { return nil }
    let marks = write ? Bit.young | Bit.dirty | Bit.softDirty : Bit.young
    if entry & marks != marks { entries[slot] = PageTableEntry(rawValue: entry | marks) }
    return Int(truncatingIfNeeded: entry & Bit.frame) | address.pageOffset
  }

  /// Where a byte lies in the flat physical space, faulting as often as it takes.
  ///
  /// Between the return and the caller's next await nothing else runs, so the answer holds.
  @inline(__always)
  func resolve(_ address: VirtualAddress, write: Bool) async throws(AccessError) -> Int {
    await kernel.point()
    if let place = translate(address, write: write) { return place }
    return try await resolveSlowly(address, write: write)
  }

  private func resolveSlowly(
    _ address: VirtualAddress, write: Bool
  ) async throws(AccessError) -> Int {
    var fruitless = 0
    while true {
      fruitless = try await fault(address, write: write) ? 0 : fruitless + 1
      if let place = translate(address, write: write) { return place }
      if fruitless > 0, let failure = await pause(afterFruitless: fruitless, address) {
        throw failure
      }
    }
  }

  /// Faults that may end without progress one after the other before the access is given up.
  ///
  /// The kernel would retry for ever; here a driver that never brings a page back must end in a
  /// report. With the pauses below it is given 17 s of the kernel's clock, longer than a
  /// fence's time-out.
  static let fruitlessFaultLimit = 40

  /// Lets others run, and time pass, before a fault is tried again; the error when it was tried too
  /// often.
  func pause(afterFruitless count: Int, _ address: VirtualAddress) async -> AccessError? {
    guard count < Self.fruitlessFaultLimit else {
      tally.failedFaults += 1
      return .sigbus(address, .EDEADLK)
    }
    if count < 4 {
      await kernel.yield()
    } else {
      // 1 µs at first, doubling to 1 s.
      await kernel.sleep(min(1_000 << UInt64(count - 4), 1_000_000_000))
    }
    return nil
  }

  /// Reads `count` bytes.
  public func load(
    _ address: VirtualAddress, count: Int
  ) async throws(AccessError) -> [UInt8] {
    invariant(count >= 0, "a load of \(count) bytes")
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      let here = try advance(address, bytes.count)
      let length = min(count - bytes.count, PageSize.bytes - here.pageOffset)
      let place = try await resolve(here, write: false)
      let (memory, offset) = manager.backing(place)
      bytes.append(contentsOf: memory.bytes(at: offset, count: length))
    }
    return bytes
  }

  /// Writes `bytes`. When it throws, the pages before the failing one have been written.
  public func store(
    _ address: VirtualAddress, _ bytes: [UInt8]
  ) async throws(AccessError) {
    var done = 0
    while done < bytes.count {
      let here = try advance(address, done)
      let length = min(bytes.count - done, PageSize.bytes - here.pageOffset)
      let place = try await resolve(here, write: true)
      let (memory, offset) = manager.backing(place)
      memory.store(bytes: Array(bytes[done..<done + length]), at: offset)
      done += length
    }
  }

  /// An access of one byte that moves no data: what a benchmark or a poll does.
  public func touch(_ address: VirtualAddress, write: Bool) async throws(AccessError) {
    _ = try await resolve(address, write: write)
  }

  /// Writes `count` bytes of `memory` from `offset` on.
  public func storeBulk(
    _ address: VirtualAddress, from memory: MappedMemory, at offset: Int, count: Int
  ) async throws(AccessError) {
    var done = 0
    while done < count {
      let here = try advance(address, done)
      let length = min(count - done, PageSize.bytes - here.pageOffset)
      let (target, place) = manager.backing(try await resolve(here, write: true))
      target.copy(from: memory, at: offset + done, to: place, length: length)
      done += length
    }
  }

  /// Reads `count` bytes into `memory` from `offset` on.
  public func loadBulk(
    _ address: VirtualAddress, into memory: MappedMemory, at offset: Int, count: Int
  ) async throws(AccessError) {
    var done = 0
    while done < count {
      let here = try advance(address, done)
      let length = min(count - done, PageSize.bytes - here.pageOffset)
      let (source, place) = manager.backing(try await resolve(here, write: false))
      memory.copy(from: source, at: place, to: offset + done, length: length)
      done += length
    }
  }

  /// Reads and writes one word in one step, as a locked instruction does; returns the old value.
  ///
  /// The word must not cross a page; an address that isn't aligned gets SIGBUS (`EINVAL`).
  public func exchange<T: FixedWidthInteger & BitwiseCopyable>(
    _ address: VirtualAddress, _ change: (T) -> T
  ) async throws(AccessError) -> T {
    guard address.isAligned(to: UInt64(MemoryLayout<T>.size)) else {
      throw .sigbus(address, .EINVAL)
    }
    let (memory, place) = manager.backing(try await resolve(address, write: true))
    let old = memory.load(T.self, at: place)
    memory.store(change(old), at: place)
    return old
  }

  /// The address `count` bytes further; past the top of the address space nothing is mapped.
  private func advance(
    _ address: VirtualAddress, _ count: Int
  ) throws(AccessError) -> VirtualAddress {
    let (sum, overflow) = address.rawValue.addingReportingOverflow(UInt64(count))
    guard !overflow, sum < VirtualRange.user.end.rawValue else {
      throw .segv(VirtualAddress(sum), .mapErr)
    }
    return VirtualAddress(sum)
  }
}
