import Base
import KernelRuntime
import LinuxMM

/// What the machine and the oracle disagree about.
struct Mismatch: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// A machine with two devices and several processes, beside the oracle that knows what they see.
final class ProcessWorld {
  let machine: TestMachine
  let second: TestDevice
  /// Memory of the second driver that the CPU reaches.
  let coherent: TestDevice
  /// All processes: what they have must be what they are charged for.
  let group: MemoryGroup
  var spaces: [AddressSpace]
  /// The descriptors that watch the processes, one each.
  var watches: [Userfault?] = [nil]
  /// Pages of RAM that had an error and are still held.
  var broken: [PFN] = []
  var files: [MappedFile] = []
  var pins: [PinnedPages] = []
  var oracle = ProcessOracle()
  /// Puts a defect into the oracle, so that the test of the test has something to find.
  var forkSharesMemory = false

  static let base = VirtualAddress(0x4000_0000 - 6 << 12)
  static let window = VirtualRange(start: base, pages: ProcessOracle.window)

  init() throws {
    machine = try TestMachine(ramPages: 640, devicePages: 20, swapPages: Self.swapPages)
    second = try TestDevice(machine.mm, "second", pages: 12)
    coherent = try TestDevice(
      machine.mm, "coherent", pages: 10, kind: .deviceCoherent, owner: second.owner)
    spaces = [machine.space]
    group = try machine.mm.createGroup("all")
    machine.space.join(group)
    for _ in 0..<2 {
      files.append(
        try machine.mm.createFile("f", bytes: UInt64(ProcessOracle.fileWords) << 12))
      oracle.objects.append(ProcessOracle.Object())
    }
  }

  /// Does one step on both sides, and compares.
  func play(_ step: ProcessStep) async throws {
    let process = step.process % spaces.count
    let space = spaces[process]
    let range = Self.window.subrange(step.range)
    switch step.kind {
    case .mapPrivate, .mapShared, .mapFile, .mapFileShared:
      try await map(step, process)
    case .unmap:
      try await space.unmap(range)
      for place in step.range { oracle.processes[process][place] = nil }
    case .protect:
      let protection = [Protection.none, .read, .readWrite][Int(step.value % 3)]
      try await expect(oracle.isMapped(process, step.range) ? nil : .ENOMEM) {
        () async throws(KernelError) in try await space.protect(range, protection)
      }
      guard oracle.isMapped(process, step.range) else { return }
      for place in step.range { oracle.processes[process][place]?.protection = protection }
    case .discard, .freeLazily:
      try await playAdvice(step, process)
    case .move:
      try await move(step, process)
    case .store:
      try await access(step, process, write: true)
    case .load:
      try await access(step, process, write: false)
    case .fork:
      guard spaces.count < 5 else { return }
      do throws(KernelError) {
        spaces.append(try await space.fork("child"))
      } catch {
        guard error == .ENOMEM, oracle.isTight else { throw Mismatch("fork gave \(error)") }
        return
      }
      watches.append(nil)
      oracle.fork(process)
    case .exit:
      guard spaces.count > 1 else { return }
      await space.exit()
      spaces.remove(at: process)
      watches.remove(at: process)
      oracle.processes.remove(at: process)
    case .migrate, .evict, .exclusive, .deviceStore, .loseMemory:
      try await playDevice(step, process)
    case .pin, .unpin:
      try await pin(step, process)
    case .writeFile, .truncate, .punch, .writeBack:
      try await change(step)
    case .swapOut, .failingSwapOut, .reclaim, .swapOff, .failingMigrate, .lock, .unlock, .offline,
      .limit:
      try await playReclaim(step, process)
    case .watch, .unwatch, .guardWrites, .letWrite, .fill:
      try await playWatch(step, process)
    }
  }

  /// Whether an operation gives the error that the oracle says.
  func expect(
    _ expected: KernelError?, _ body: () async throws(KernelError) -> Void
  ) async throws {
    var met: KernelError?
    do throws(KernelError) { try await body() } catch { met = error }
    if met != expected {
      throw Mismatch("got \(met.map(\.name) ?? "success"), not \(expected?.name ?? "success")")
    }
  }

  private func map(_ step: ProcessStep, _ process: Int) async throws {
    let space = spaces[process]
    let range = Self.window.subrange(step.range)
    let protection: Protection = step.value % 5 == 0 ? .read : .readWrite
    let number = Int(step.value % 2)
    let offset = Int(step.value >> 8) % (ProcessOracle.fileWords - 6)
    let isFree = oracle.isFree(process, step.range)
    let isShared = step.kind == .mapShared || step.kind == .mapFileShared
    try await expect(isFree ? nil : .EEXIST) { () async throws(KernelError) in
      switch step.kind {
      case .mapFile, .mapFileShared:
        _ = try await space.map(
          files[number], offset: UInt64(offset) << 12, bytes: range.bytes, protection,
          shared: isShared, at: range.start)
      default:
        _ = try await space.map(
          bytes: range.bytes, protection, at: range.start,
          flags: isShared ? [.anonymous, .shared] : .anonymous)
      }
    }
    guard isFree else { return }
    if step.kind == .mapShared { oracle.objects.append(ProcessOracle.Object()) }
    for (index, place) in step.range.enumerated() {
      var page = ProcessOracle.Page(protection: protection, isShared: isShared)
      switch step.kind {
      case .mapShared: page.backing = (oracle.objects.count - 1, index)
      case .mapFile, .mapFileShared: page.backing = (number, offset + index)
      default: break
      }
      oracle.processes[process][place] = page
    }
  }

  private func move(_ step: ProcessStep, _ process: Int) async throws {
    let first = Int(step.value >> 4) % (ProcessOracle.window - step.range.count + 1)
    let keeps = step.value % 2 == 0
    let source = Self.window.subrange(step.range)
    var met: KernelError?
    do throws(KernelError) {
      try await spaces[process].remap(
        source.start, oldBytes: source.bytes, newBytes: source.bytes,
        keeps ? [.mayMove, .fixed, .dontUnmap] : [.mayMove, .fixed],
        to: Self.window.page(first))
    } catch {
      met = error
    }
    let target = first..<first + step.range.count
    if target.overlaps(step.range) {
      if met != .EINVAL { throw Mismatch("an overlapping move gave \(String(describing: met))") }
    } else if met == nil {
      guard oracle.isMapped(process, step.range) else { throw Mismatch("a hole was moved") }
      oracle.move(process, step.range, to: first, keepsMapping: keeps)
    } else if met != .EFAULT {
      // What stands in several mappings, or none, can't be moved.
      throw Mismatch("a move gave \(String(describing: met))")
    }
  }

  private func access(_ step: ProcessStep, _ process: Int, write: Bool) async throws {
    let address = Self.window.page(step.first)
    let expected = oracle.outcomes(process, step.first, write: write)
    var met: ProcessOracle.Outcome?
    do throws(AccessError) {
      if write {
        try await spaces[process].store(address, step.value.bytes)
        met = expected.first { if case .word = $0 { true } else { false } }
      } else {
        let bytes = try await spaces[process].load(address, count: 8)
        met = .word(UInt64(littleEndianBytes: bytes))
      }
    } catch {
      switch error {
      case .segv(_, let code): met = .segv(code)
      case .sigbus(_, .EINVAL): met = .sigbus
      case .sigbus(_, .EHWPOISON): met = .poisoned
      case .sigbus(_, .EFAULT): met = .watched
      case .outOfMemory: met = .outOfMemory
      default: throw Mismatch("\(error)")
      }
    }
    guard let met, expected.contains(met) else {
      let shown = met.map { "\($0)" } ?? "written"
      throw Mismatch("page \(step.first): \(shown), not \(expected)")
    }
    guard case .word(let word) = met else { return }
    guard write else { return oracle.saw(process, step.first, word) }
    for other in forkSharesMemory ? Array(spaces.indices) : [process] {
      oracle.store(other, step.first, step.value)
    }
  }

  private func pin(_ step: ProcessStep, _ process: Int) async throws {
    if step.kind == .unpin {
      if let pin = pins.popLast() { machine.mm.unpin(pin) }
      return
    }
    let isSure = oracle.isSure(process, step.first, write: true)
    do throws(AccessError) {
      pins.append(
        try await spaces[process].pin(Self.window.page(step.first), pages: 1, write: true))
    } catch {
      if isSure { throw Mismatch("a pin gave \(error)") }
      return
    }
    oracle.touch(process, step.first)
  }

  /// Changes a file past its mappings.
  private func change(_ step: ProcessStep) async throws {
    let number = Int(step.value % 2)
    let page = step.first
    switch step.kind {
    case .writeFile where page < oracle.objects[number].limit:
      try await files[number].write(UInt64(page) << 12, step.value.bytes)
      oracle.objects[number].words[page] = step.value
    case .truncate:
      try await files[number].truncate(to: UInt64(page) << 12)
      oracle.truncate(number, to: page)
    case .punch:
      let end = UInt64(step.range.upperBound) << 12
      try await files[number].punchHole(UInt64(page) << 12..<end)
      for place in step.range { oracle.objects[number].words[place] = 0 }
    case .writeBack:
      try await files[number].writeBack()
      files[number].dropCleanPages()
    default:
      break
    }
  }

  /// Whether every count is right.
  func audit() throws {
    let audit = try machine.mm.audit()
    if let problem = audit.problems.first { throw Mismatch(problem) }
    if let page = audit.unmapped.first { throw Mismatch("page \(page) leaked") }
  }

  /// Ends everything; nothing may be left.
  func end() async throws {
    for pin in pins { machine.mm.unpin(pin) }
    for space in spaces { await space.exit() }
    for file in files { try await file.evict() }
    await machine.mm.drainLRUOfAllCPUs()
    for page in broken { try machine.mm.unpoison(page) }
    try audit()
    let mm = machine.mm
    if mm.freeSystemPages != mm.systemPages - 1 { throw Mismatch("system pages leaked") }
    try endReclaim()
    if mm.pageTables != 0 { throw Mismatch("page tables leaked") }
  }
}
