import Base
import KernelRuntime
import LinuxMM

// Steps in which devices use pages alone, memory breaks, and a handler watches.
extension HugePlayer {
  /// A device takes what it can of a range for itself, and writes into what it got.
  mutating func exclusive(_ first: Int, _ count: Int, _ word: UInt64) async -> String? {
    let space = machine.space
    let mm = machine.mm
    await space.mmapLock.lockShared()
    defer { space.mmapLock.unlockShared() }
    var taken: [PFN?] = []
    do throws(KernelError) {
      taken = try await space.makeDeviceExclusive(
        range(first, count), owner: machine.device.owner)
    } catch {
      let known = pages[first]
      let isSure = known.map { $0.isWritable && !$0.isLost && !$0.isGuarded } ?? false
      return isSure && !mayFail ? "exclusive: \(error)" : nil
    }
    var wrong: String?
    for (page, pfn) in zip(first..<first + count, taken) {
      guard let pfn else { continue }
      let old = mm.ram.load(UInt64.self, at: pfn.index << 12)
      if let known = pages[page], known.isWritable, !known.isLost, known.allows(old) {
        mm.ram.store(word &+ UInt64(page), at: pfn.index << 12)
        pages[page] = Known(word: word &+ UInt64(page))
      } else {
        wrong = "page \(page) for a device: \(old), not \(String(describing: pages[page]))"
      }
      mm.unlock(pfn)
      mm.put(pfn)
    }
    return wrong
  }

  /// The memory behind a page breaks, in RAM or on the device.
  mutating func lose(_ page: Int) async -> String? {
    let mm = machine.mm
    // Swap space has the bytes of what it caches.
    guard pages[page] != nil, let pfn = frame(machine.space, page),
      !mm.isSystemPage(pfn) || !mm.isInSwapCache(pfn)
    else { return nil }
    let mine = pages.indices.filter { frame(machine.space, $0) == pfn }
    let childs = child.map { child in
      pages.indices.filter { frame(child.space, $0) == pfn }
    }
    if mm.isSystemPage(pfn) {
      do throws(KernelError) {
        try await mm.memoryFailure(ofRAM: pfn)
      } catch {
        // A huge page that is held can't be split, and then nothing happened.
        if error != .EBUSY || (pins.isEmpty && !mayFail) { return "lose: \(error)" }
        guard mm.isPoisoned(pfn) else { return nil }
      }
      broken.append(pfn)
    } else {
      _ = await mm.memoryFailure(pfn)
      if machine.space.entry(at: address(page)).location != .poison {
        return pins.isEmpty && !mayFail ? "a device page was not lost" : nil
      }
    }
    for page in mine { pages[page]?.isLost = true }
    for page in childs ?? [] { child?.pages[page]?.isLost = true }
    return nil
  }

  private func frame(_ space: AddressSpace, _ page: Int) -> PFN? {
    switch space.entry(at: address(page)).location {
    case .ram(let pfn), .device(let pfn), .exclusive(let pfn): pfn
    default: nil
    }
  }

  /// Watches writes to a range, or stops that.
  mutating func guardWrites(_ first: Int, _ count: Int, _ isOn: Bool) async throws(KernelError) {
    let watch: Userfault
    if let known = self.watch {
      watch = known
    } else {
      watch = try machine.space.openUserfault([
        .sigbus, .writeProtect, .writeProtectUnpopulated,
      ])
      self.watch = watch
    }
    let range = range(first, count)
    try await watch.register(range, .writeProtect)
    // When it fails, part may have been done.
    for page in first..<first + count where pages[page] != nil {
      if isOn { pages[page]?.isGuarded = true }
      pages[page]?.mayBeUnguarded = true
    }
    try await watch.protect(range, isOn)
    for page in first..<first + count {
      guard var known = pages[page] else { continue }
      known.isGuarded = isOn
      known.mayBeUnguarded = known.mayBeGone
      pages[page] = known
    }
  }
}
