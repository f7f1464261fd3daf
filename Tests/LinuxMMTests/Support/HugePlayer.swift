import Base
import KernelRuntime
import LinuxMM

/// Plays steps of ``HugePropertyTests`` on a machine and knows what each page of two processes must
/// hold.
struct HugePlayer {
  /// What is known of one page.
  struct Known {
    var isWritable = true
    var word: UInt64 = 0
    /// Freed lazily and not written since: the word may be gone at any time.
    var mayBeGone = false
    /// A memory error took the page.
    var isLost = false
    /// Writes are watched; with `mayBeUnguarded` only if the page is still there.
    var isGuarded = false
    var mayBeUnguarded = false

    func allows(_ read: UInt64) -> Bool { read == word || (mayBeGone && read == 0) }

    mutating func forget() { self = Known(isWritable: isWritable) }
  }

  let machine: TestMachine
  let base = VirtualAddress(0x4000_0000)
  var pages: [Known?]
  var child: (space: AddressSpace, pages: [Known?])?
  var pins: [PinnedPages] = []
  var watch: Userfault?
  var broken: [PFN] = []

  init(_ machine: TestMachine) {
    self.machine = machine
    pages = .init(repeating: nil, count: HugePropertyTests.window)
  }

  func range(_ first: Int, _ count: Int) -> VirtualRange {
    VirtualRange(start: address(first), pages: count)
  }

  func address(_ page: Int) -> VirtualAddress { base + UInt64(page) << 12 }

  func audit() -> String? {
    guard let audit = try? machine.mm.audit(isQuiet: true) else { return "no audit" }
    return audit.problems.first
      ?? (audit.unmapped.isEmpty ? nil : "pages \(audit.unmapped.prefix(3)) leaked")
  }

  var mayFail: Bool { !machine.kernel.failures.isQuiet }

  mutating func play(_ step: HugePropertyTests.Step) async -> String? {
    let wrong = await act(step)
    await machine.mm.drainLRUOfAllCPUs()
    return wrong
  }

  private mutating func act(_ step: HugePropertyTests.Step) async -> String? {
    switch step {
    case .write(let page, let word): return await write(page, word)
    case .read(let page): return await read(page)
    case .take(let first, let count, let huge, let splits):
      return await take(range(first, count), huge: huge, splits: splits)
    case .evict: _ = try? await machine.device.evict()
    case .pin(let page): return await pin(page)
    case .unpin: pins.popLast().map { machine.mm.unpin($0) }
    case .fork: await fork()
    case .childWrite(let page, let word): return await childWrite(page, word)
    case .childExit:
      await child?.space.exit()
      child = nil
    case .splitDeferred: machine.mm.splitDeferred()
    case .fail(let point, let nth):
      machine.kernel.failures.arm(HugePropertyTests.points[point], .nth(UInt64(nth)))
    case .heal: machine.kernel.failures.disarm()
    case .exclusive(let first, let count, let word): return await exclusive(first, count, word)
    case .reclaim(let count): await machine.mm.reclaim(pages: count)
    case .lose(let page): return await lose(page)
    default: return await change(step)
    }
    return nil
  }

  /// Steps that change the mappings.
  private mutating func change(_ step: HugePropertyTests.Step) async -> String? {
    let space = machine.space
    do throws(KernelError) {
      switch step {
      case .unmap(let first, let count):
        try await space.unmap(range(first, count))
        for page in first..<first + count { pages[page] = nil }
      case .map(let first, let count):
        guard (first..<first + count).allSatisfy({ pages[$0] == nil }) else { return nil }
        _ = try await space.map(
          bytes: UInt64(count) << 12, .readWrite, at: address(first))
        for page in first..<first + count { pages[page] = Known() }
      case .protect(let first, let count, let protection):
        try await space.protect(range(first, count), protection)
        for page in first..<first + count {
          pages[page]?.isWritable = protection.contains(.write)
        }
      case .discard(let first, let count):
        // A hole is an error when the rest is gone.
        for page in first..<first + count { pages[page]?.forget() }
        try await space.discard(range(first, count))
      case .freeLazily(let first, let count):
        for page in first..<first + count { freeLazily(page) }
        try await space.advise(range(first, count), .free)
      case .swapOut(let first, let count): try await space.swapOut(range(first, count))
      case .guardWrites(let first, let count, let isOn):
        try await guardWrites(first, count, isOn)
      case .collapse(let block):
        try await space.collapse(range(block * HugePage.pages, HugePage.pages))
      default: break
      }
    } catch {
      let allowed: [KernelError] = [.ENOMEM, .EINVAL, .EAGAIN]
      return allowed.contains(error) ? nil : "\(error)"
    }
    return nil
  }

  private mutating func freeLazily(_ page: Int) {
    guard let known = pages[page] else { return }
    if known.isLost { pages[page]?.forget() }
    pages[page]?.mayBeGone = true
    pages[page]?.mayBeUnguarded = true
  }

  private func take(_ range: VirtualRange, huge: Bool, splits: Bool) async -> String? {
    do throws(KernelError) {
      if huge {
        try await machine.device.takeHuge(machine.space, range, splits: splits)
      } else {
        try await machine.device.take(machine.space, range)
      }
    } catch {
      // Over several mappings or none.
      return error == .EINVAL ? nil : "\(error)"
    }
    return nil
  }

  private mutating func write(_ page: Int, _ word: UInt64) async -> String? {
    let known = pages[page]
    do throws(AccessError) {
      try await machine.space.store(address(page), word.bytes)
      guard let known, known.isWritable, !known.isLost,
        !known.isGuarded || known.mayBeUnguarded
      else { return "was written: \(String(describing: known))" }
      pages[page] = Known(word: word)
    } catch {
      guard let known, known.isWritable, !mayFail else { return nil }
      if known.isLost { return error == .sigbus(address(page), .EHWPOISON) ? nil : "\(error)" }
      if known.isGuarded { return error == .sigbus(address(page), .EFAULT) ? nil : "\(error)" }
      return "\(error)"
    }
    return nil
  }

  private mutating func read(_ page: Int) async -> String? {
    let known = pages[page]
    do throws(AccessError) {
      let word = UInt64(littleEndianBytes: try await machine.space.load(address(page), count: 8))
      guard let known, !known.isLost, known.allows(word) else {
        return "\(word) instead of \(String(describing: known))"
      }
      if word == 0 && known.mayBeGone {
        pages[page]?.word = 0
        pages[page]?.mayBeGone = false
      }
    } catch {
      guard let known, !mayFail else { return nil }
      return known.isLost && error == .sigbus(address(page), .EHWPOISON) ? nil : "\(error)"
    }
    return nil
  }

  private mutating func pin(_ page: Int) async -> String? {
    guard let known = pages[page], known.isWritable, pins.count < 3 else { return nil }
    do throws(AccessError) {
      pins.append(try await machine.space.pin(address(page), pages: 1, write: true))
    } catch {
      return mayFail || known.isLost || known.isGuarded ? nil : "pin: \(error)"
    }
    return nil
  }

  private mutating func fork() async {
    guard child == nil, let space = try? await machine.space.fork("child") else { return }
    // Nobody watches the child.
    let copies = pages.map { known in
      known.map {
        Known(word: $0.word, mayBeGone: $0.mayBeGone, isLost: $0.isLost)
      }
    }
    child = (space, copies)
  }

  private mutating func childWrite(_ page: Int, _ word: UInt64) async -> String? {
    guard let space = child?.space, let known = child?.pages[page] else { return nil }
    guard (try? await space.store(address(page), word.bytes)) != nil else { return nil }
    if known.isLost { return "the child wrote to a page that was lost" }
    child?.pages[page] = Known(word: word)
    return nil
  }

  /// Every page of both processes, and then an empty machine.
  mutating func finish() async -> String? {
    for page in pages.indices where pages[page] != nil {
      if let wrong = await read(page) { return "page \(page): \(wrong)" }
    }
    if let child {
      for page in pages.indices {
        guard let known = child.pages[page], !known.isLost else { continue }
        guard let bytes = try? await child.space.load(address(page), count: 8) else {
          return "the child can't read page \(page)"
        }
        let word = UInt64(littleEndianBytes: bytes)
        if !known.allows(word) {
          return "page \(page) of the child: \(word) instead of \(known.word)"
        }
      }
      await child.space.exit()
    }
    for pin in pins { machine.mm.unpin(pin) }
    await machine.space.exit()
    await machine.mm.drainLRUOfAllCPUs()
    machine.mm.splitDeferred()
    for page in broken where (try? machine.mm.unpoison(page)) == nil {
      return "the broken page \(page) is still held"
    }
    if machine.mm.freeSystemPages != 6143 { return "\(machine.mm.freeSystemPages) pages free" }
    if machine.mm.usedSwapPages != 0 { return "\(machine.mm.usedSwapPages) slots of swap left" }
    if machine.mm.pageTables != 0 { return "\(machine.mm.pageTables) page tables left" }
    let left = machine.device.pagemap.references
    return left == 0 ? nil : "\(left) device pages left"
  }
}
