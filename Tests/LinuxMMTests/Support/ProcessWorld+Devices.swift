import Base
import KernelRuntime
import LinuxMM

// What devices do with pages: take them, use them alone, and lose them.
extension ProcessWorld {
  func playDevice(_ step: ProcessStep, _ process: Int) async throws {
    switch step.kind {
    case .migrate: try await migrate(step, process)
    case .evict:
      let device = [machine.device, second, coherent][Int(step.value % 3)]
      let left = try await device.evict()
      // A pin keeps a page where it is, and only coherent memory can be pinned.
      if left != 0, device !== coherent || pins.isEmpty {
        throw Mismatch("\(left) pages stay on a device")
      }
    case .exclusive: try await takeExclusively(step, process)
    case .deviceStore: storeAlone(step, process)
    case .loseMemory: try await loseMemory(step, process)
    default: break
    }
  }

  private func migrate(_ step: ProcessStep, _ process: Int) async throws {
    let space = spaces[process]
    let device = [machine.device, second, coherent, second][Int(step.value % 4)]
    // The second driver fetches pages from its coherent memory too.
    let select: MigrateSelect = step.value % 4 == 3 ? [.system, .deviceCoherent] : .system
    let before = step.range.map { space.entry(at: Self.window.page($0)).location }
    do throws(KernelError) {
      try await device.take(space, Self.window.subrange(step.range), select: select)
    } catch {
      if error != .EINVAL { throw Mismatch("a migration failed: \(error)") }
    }
    for (place, old) in zip(step.range, before) {
      guard let page = oracle.processes[process][place], page.watch.contains(.missing) else {
        continue
      }
      // R29
      let isFilled = space.entry(at: Self.window.page(place)).location != old
      if isFilled && (old == .none || old == .marker) {
        throw Mismatch("a migration filled the watched place \(place)")
      }
    }
  }

  /// A device takes what it can of a range for itself, and writes a word into each page.
  private func takeExclusively(_ step: ProcessStep, _ process: Int) async throws {
    let space = spaces[process]
    await space.mmapLock.lockShared()
    var taken: [PFN?] = []
    var failure: KernelError?
    do throws(KernelError) {
      taken = try await space.makeDeviceExclusive(
        Self.window.subrange(step.range), owner: second.owner)
    } catch {
      failure = error
    }
    for (place, pfn) in zip(step.range, taken) {
      oracle.touch(process, place)
      guard let pfn else { continue }
      let (memory, at) = second.reachable(pfn)
      let word = memory.load(UInt64.self, at: at)
      if !oracle.outcomes(process, place, write: true).contains(.word(word)) {
        failure = .EIO
      }
      store(process, place, pfn, step.value &+ UInt64(place))
      machine.mm.unlock(pfn)
      machine.mm.put(pfn)
    }
    space.mmapLock.unlockShared()
    if failure == .EIO { throw Mismatch("a device got a page of other bytes") }
    let isSure = step.range.prefix(taken.count + 1).map {
      oracle.isSure(process, $0, write: true)
    }
    if taken.count < step.range.count && isSure.last == true {
      throw Mismatch("a device got \(taken.count) pages: \(failure?.name ?? "no error")")
    }
    for (place, pfn) in zip(step.range, taken) {
      let isShared = oracle.processes[process][place]?.isShared ?? false
      if (pfn == nil) != isShared { throw Mismatch("place \(place) for a device: \(pfn as Any)") }
    }
  }

  /// A device goes on to use a page that nobody has taken back.
  private func storeAlone(_ step: ProcessStep, _ process: Int) {
    for place in step.range {
      let entry = spaces[process].entry(at: Self.window.page(place))
      guard case .exclusive(let pfn) = entry.location, entry.kind == .exclusiveWrite else {
        continue
      }
      store(process, place, pfn, step.value &+ UInt64(place))
    }
  }

  private func store(_ process: Int, _ place: Int, _ pfn: PFN, _ word: UInt64) {
    let (memory, at) = second.reachable(pfn)
    memory.store(word, at: at)
    oracle.store(process, place, word)
  }

  /// The memory behind a private page breaks: all who share the page have lost it.
  private func loseMemory(_ step: ProcessStep, _ process: Int) async throws {
    let mm = machine.mm
    guard let page = oracle.processes[process][step.first], !page.isShared,
      let pfn = frame(process, step.first)
    else { return }
    // A page that a file or swap space has too isn't lost.
    guard page.isAnonymous || page.own != nil else { return }
    guard !mm.isSystemPage(pfn) || !mm.isInSwapCache(pfn) else { return }
    var sharers: [(process: Int, place: Int)] = []
    for other in spaces.indices {
      for place in 0..<ProcessOracle.window where frame(other, place) == pfn {
        sharers.append((other, place))
      }
    }
    if mm.isSystemPage(pfn) {
      do throws(KernelError) {
        try await mm.memoryFailure(ofRAM: pfn)
      } catch {
        if error != .EBUSY || pins.isEmpty { throw Mismatch("a memory failure gave \(error)") }
      }
      broken.append(pfn)
    } else {
      _ = await mm.memoryFailure(pfn)
    }
    for (other, place) in sharers { oracle.change(other, place) { $0.isLost = true } }
  }

  /// The page that a place names, wherever it is.
  private func frame(_ process: Int, _ place: Int) -> PFN? {
    switch spaces[process].entry(at: Self.window.page(place)).location {
    case .ram(let pfn), .device(let pfn), .exclusive(let pfn): pfn
    default: nil
    }
  }
}
