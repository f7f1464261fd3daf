import Base
import KernelRuntime
import LinuxMM
import Testing

// The device with huge pages: it takes 2 MiB as one where it can.
extension TestDevice {
  static let hugePages = HugePage.pages

  /// 512 aligned free pages; nil when there are none.
  func popHuge() -> PFN? {
    let free = Set(self.free.map(\.index))
    var head = range.start.index
    while head + Self.hugePages <= range.end.index {
      let pages = head..<head + Self.hugePages
      if pages.allSatisfy(free.contains) {
        self.free.removeAll { pages.contains($0.index) }
        return PFN(UInt64(head))
      }
      head += Self.hugePages
    }
    return nil
  }

  /// A device page for each page collected, and huge ones for words that stand for 2 MiB unless
  /// `splits`.
  func copyHugeToDevice(_ pages: borrowing CollectedPages, splits: Bool = false) {
    for index in 0..<pages.count where pages[source: index].isCompound {
      let source = pages[source: index]
      guard source.migrates else { continue }
      if !splits, let head = popHuge() {
        mm.initDeviceFolio(head)
        copyIn(source.pfn, head, pages: Self.hugePages)
        pages[destination: index] = MigratePFN(huge: head)
        continue
      }
      for part in 0..<Self.hugePages {
        guard let page = free.popLast() else { break }
        mm.initDevicePage(page)
        copyIn(source.pfn.map { $0 + UInt64(part) }, page, pages: 1)
        pages[destination: index + part] = MigratePFN(page)
      }
    }
    for index in 0..<pages.count where !pages[source: index].isCompound {
      guard pages[source: index].migrates, let page = free.popLast() else { continue }
      mm.initDevicePage(page)
      copyIn(pages[source: index].pfn, page, pages: 1)
      pages[destination: index] = MigratePFN(page)
    }
  }

  private func copyIn(_ source: PFN?, _ target: PFN, pages: Int) {
    if let source {
      memory.copy(from: mm.ram, at: source.index << 12, to: offset(target), length: pages << 12)
    } else {
      memory.fill(0, at: offset(target), length: pages << 12)
    }
  }

  /// A huge page of RAM for a huge source, or 512 pages when it can't be had.
  func copyHugeToRAM(
    _ pages: borrowing CollectedPages, _ index: Int, _ source: PFN
  ) throws(KernelError) {
    if let head = try? mm.allocateHugePage() {
      _ = mm.tryLock(head)
      mm.ram.copy(
        from: memory, at: offset(source), to: head.index << 12, length: Self.hugePages << 12)
      pages[destination: index] = MigratePFN(huge: head)
      return
    }
    for part in 0..<Self.hugePages {
      let page = try mm.allocatePage()
      _ = mm.tryLock(page)
      mm.ram.copy(
        from: memory, at: offset(source) + part << 12, to: page.index << 12, length: 4096)
      pages[destination: index + part] = MigratePFN(page)
    }
  }

  /// Moves a range to the device, 2 MiB as one where that is possible; the words that moved.
  @discardableResult
  func takeHuge(
    _ space: AddressSpace, _ range: VirtualRange, splits: Bool = false,
    during: (() async -> Void)? = nil
  ) async throws(KernelError) -> [MigratePFN] {
    try await move(space, range, [.system, .compound], during: during) {
      copyHugeToDevice($0, splits: splits)
    }
  }
}

extension TestMachine {
  /// A machine with room for huge pages, used wherever a mapping can hold them.
  static func huge(
    ramPages: Int = 4096, devicePages: Int = 2048, policy: HugePagePolicy = .always,
    choices: any Choices = FIFOChoices(), swapPages: Int = 0
  ) throws -> TestMachine {
    let machine = try TestMachine(
      ramPages: ramPages, devicePages: devicePages, choices: choices, swapPages: swapPages)
    machine.mm.hugePages = policy
    return machine
  }

  /// A mapping of whole huge pages, with the pattern in every `step`-th page.
  func mapHuge(_ count: Int = 1, step: Int = 37, filled: Bool = true) async throws -> VirtualRange {
    let range = try await map(pages: count * HugePage.pages, filled: false)
    if filled { try await fill(range, step: step) }
    return range
  }

  func fill(_ range: VirtualRange, step: Int) async throws {
    for page in stride(from: 0, to: range.pages, by: step) { try await fill(range, page) }
  }

  /// Whether every `step`-th page has the pattern and its neighbour zeroes.
  func expectPattern(_ range: VirtualRange, step: Int, _ comment: String = "") async throws {
    for page in stride(from: 0, to: range.pages, by: step) {
      #expect(try await read(range.page(page)) == Self.word(page), "page \(page) \(comment)")
      if step > 1 && page + 1 < range.pages {
        #expect(try await read(range.page(page + 1)) == 0, "page \(page + 1) \(comment)")
      }
    }
  }

  func isHuge(_ range: VirtualRange, _ page: Int = 0) -> Bool {
    space.isMappedHuge(range.page(page))
  }
}
