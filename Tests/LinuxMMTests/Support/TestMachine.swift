import Base
import KernelRuntime
import LinuxMM
import Testing

/// A machine with one device, which runs a test's body as a task and audits itself afterwards.
final class TestMachine {
  let kernel: Kernel
  let mm: MemoryManager
  let device: TestDevice
  let space: AddressSpace

  init(
    ramPages: Int = 256, devicePages: Int = 128, choices: any Choices = FIFOChoices(),
    traced: Bool = false, swapPages: Int = 0, kills: Bool = false
  ) throws {
    kernel = Kernel(choices: choices, trace: Trace(isOn: traced))
    var configuration = MemoryConfiguration(
      ramBytes: ramPages << 12, devicePhysicalBytes: 64 << 20, swapPages: swapPages)
    configuration.killsWhenOutOfMemory = kills
    mm = try MemoryManager(kernel, configuration)
    device = try TestDevice(mm, "gpu", pages: devicePages)
    space = try mm.createAddressSpace("p")
  }

  /// Runs `body` as a task; then nothing may be in flight and every count must be right.
  func run(
    isQuiet: Bool = true, _ comment: String = "", _ body: @escaping () async throws -> Void
  ) throws {
    var failure: (any Error)?
    try kernel.run {
      do { try await body() } catch { failure = error }
    }
    if let failure { throw failure }
    try check(isQuiet: isQuiet, comment)
  }

  /// Audits the machine; `held` are the pages that the test itself holds.
  func check(isQuiet: Bool = true, held: [PFN] = [], _ comment: String = "") throws {
    let audit = try mm.audit(isQuiet: isQuiet)
    #expect(audit.problems == [], "\(comment)")
    if isQuiet { #expect(audit.unmapped == held, "pages leaked \(comment)") }
    #expect(kernel.lockChecks.offences.isEmpty, "\(kernel.lockChecks.offences) \(comment)")
  }

  /// A new group with the test's process in it.
  @discardableResult
  func joinGroup(limit: Int? = nil, swapLimit: Int? = nil) throws(KernelError) -> MemoryGroup {
    let group = try mm.createGroup("g", limit: limit, swapLimit: swapLimit)
    space.join(group)
    return group
  }

  /// A new mapping of the test's process, filled with a pattern where `filled`.
  func map(
    pages: Int, _ protection: Protection = .readWrite, filled: Bool = true, name: String = ""
  ) async throws -> VirtualRange {
    let start = try await space.map(bytes: UInt64(pages) << 12, protection, name: name)
    let range = VirtualRange(start: start, pages: pages)
    if filled { for page in 0..<pages { try await fill(range, page) } }
    return range
  }

  /// The pattern's word of a page.
  static func word(_ page: Int) -> UInt64 { 0x1111_0000_0000 + UInt64(page) }

  func fill(_ range: VirtualRange, _ page: Int) async throws {
    try await write(range.page(page), Self.word(page))
  }

  func write(_ address: VirtualAddress, _ word: UInt64) async throws {
    try await space.store(address, word.bytes)
  }

  func read(_ address: VirtualAddress) async throws -> UInt64 {
    UInt64(littleEndianBytes: try await space.load(address, count: 8))
  }

  /// Whether every page of a range still has its pattern.
  func expectPattern(_ range: VirtualRange, _ comment: String = "") async throws {
    for page in 0..<range.pages {
      #expect(try await read(range.page(page)) == Self.word(page), "page \(page) \(comment)")
    }
  }

  func location(_ range: VirtualRange, _ page: Int = 0) -> PageTableEntry.Location {
    space.entry(at: range.page(page)).location
  }

  func frame(_ range: VirtualRange, _ page: Int = 0) throws -> PFN {
    switch location(range, page) {
    case .ram(let pfn), .device(let pfn), .migration(let pfn): return pfn
    default: throw KernelError.ENOENT
    }
  }
}

extension VirtualRange {
  func page(_ index: Int) -> VirtualAddress { start + UInt64(index) << 12 }
  func subrange(_ pages: Range<Int>) -> VirtualRange {
    VirtualRange(page(pages.lowerBound), page(pages.upperBound))
  }
}

extension UInt64 {
  var bytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: self >> ($0 * 8)) } }
  init(littleEndianBytes bytes: [UInt8]) {
    self = bytes.enumerated().reduce(0) { $0 | UInt64($1.element) << (UInt64($1.offset) * 8) }
  }
}

extension PageTableEntry.Location {
  var isDevice: Bool {
    if case .device = self { return true }
    return false
  }
  var isRAM: Bool {
    if case .ram = self { return true }
    return false
  }
  var isSwap: Bool {
    if case .swap = self { return true }
    return false
  }
  var isMigration: Bool {
    if case .migration = self { return true }
    return false
  }
}

// What a test does in a process of its own making.
extension AddressSpace {
  func read(_ address: VirtualAddress) async throws -> UInt64 {
    UInt64(littleEndianBytes: try await load(address, count: 8))
  }

  func write(_ address: VirtualAddress, _ word: UInt64) async throws {
    try await store(address, word.bytes)
  }
}
