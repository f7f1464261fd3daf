import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau

/// A machine under random actions, and what its processes' bytes should be.
final class MachineWorld {
  static let maximumProcesses = 3
  /// Where actions touch memory: pages of a small mapping, then pages of two huge ones' worth.
  static let places = Array(0..<smallPages) + [0, 1, 17, 511, 512, 1023].map { $0 + smallPages }
  static let smallPages = 8
  private static let largePages = 1_024
  private static let small = VirtualAddress(0x1000_0000)
  private static let large = VirtualAddress(0x4000_0000)

  /// Pages that an action takes together.
  enum Part: CustomStringConvertible {
    /// Of the small mapping.
    case small(Range<Int>)
    /// 2 MiB of the large one, or both.
    case large(Range<Int>)

    var description: String {
      switch self {
      case .small(let pages): "small \(pages)"
      case .large(let blocks): "large \(blocks)"
      }
    }

    var range: VirtualRange {
      switch self {
      case .small(let pages):
        VirtualRange(
          start: MachineWorld.small + pages.lowerBound * PageSize.bytes, pages: pages.count)
      case .large(let blocks):
        VirtualRange(
          start: MachineWorld.large + blocks.lowerBound * PageSize.hugeBytes,
          pages: blocks.count * PageSize.pagesPerHuge)
      }
    }

    static func draw(_ generator: inout SplitMix64) -> Part {
      if generator.chance(1, in: 5) {
        let first = generator.below(2)
        return .large(first..<(first + 1 + generator.below(2 - first)))
      }
      let first = generator.below(smallPages)
      return .small(first..<(first + 1 + generator.below(smallPages - first)))
    }
  }

  /// One process and the bytes that it should see.
  final class Member {
    let process: UserProcess
    /// By place; nil for a page of zeros.
    var bytes = [[UInt8]?](repeating: nil, count: places.count)
    var mayWriteSmall = true

    init(_ process: UserProcess) { self.process = process }

    func mayWrite(_ place: Int) -> Bool { mayWriteSmall || place >= smallPages }
  }

  let machine: Machine
  var members: [Member?] = []
  private var pins: [(member: Member, pages: PinnedPages)] = []

  init(_ machine: Machine) { self.machine = machine }

  static func address(_ place: Int, _ offset: Int = 0) -> VirtualAddress {
    let page = places[place]
    if page < smallPages { return small + (page * PageSize.bytes + offset) }
    return large + ((page - smallPages) * PageSize.bytes + offset)
  }

  func begin() async throws {
    try await machine.boot()
    let process = try await machine.makeProcess("p0")
    let bytes = UInt64(Self.smallPages * PageSize.bytes)
    _ = try await process.space.map(bytes: bytes, .readWrite, at: Self.small)
    _ = try await process.space.map(
      bytes: UInt64(Self.largePages * PageSize.bytes), .readWrite, at: Self.large)
    members = [Member(process)] + [Member?](repeating: nil, count: Self.maximumProcesses - 1)
  }

  /// Nothing fails any more; every byte of every process must be there.
  func end() async -> String? {
    machine.kernel.failures.disarm()
    for (member, pages) in pins { member.process.space.unpin(pages) }
    pins = []
    for (number, member) in members.enumerated() {
      guard let member else { continue }
      if let wrong = await compare(member) { return "at the end p\(number) \(wrong)" }
    }
    return nil
  }

  private func compare(_ member: Member) async -> String? {
    for place in Self.places.indices {
      do throws(AccessError) {
        let found = try await member.process.space.load(
          Self.address(place), count: PageSize.bytes)
        if found != expected(member, place) { return "holds other bytes at \(place)" }
      } catch {
        return "can't be read at \(place): \(error)"
      }
    }
    return nil
  }

  private func expected(_ member: Member, _ place: Int) -> [UInt8] {
    member.bytes[place] ?? [UInt8](repeating: 0, count: PageSize.bytes)
  }

  /// Carries one action out; what disagreed, or nil.
  func apply(_ action: MachineAction) async -> String? {
    switch action {
    case .store(let to, let gpu): return await store(to, gpu)
    case .load(let from, let gpu): return await load(from, gpu)
    case .migrate(let process, let part, let gpu):
      _ = try? await members[process]?.process.migrateToDevice(part.range, gpu: gpu)
    case .back(let process, let part, let gpu):
      _ = try? await members[process]?.process.migrateToRAM(part.range, gpu: gpu)
    case .protect(let process, let writable): await protect(process, writable)
    case .discard(let process, let part): return await discard(process, part)
    case .collapse(let process):
      try? await members[process]?.process.space.collapse(Part.large(0..<2).range)
    case .pin(let process, let place, let write):
      guard let member = members[process] else { return nil }
      let pages = try? await member.process.space.pin(
        Self.address(place), pages: 1, write: write)
      if let pages { pins.append((member, pages)) }
    case .unpin: if let (member, pages) = pins.popLast() { member.process.space.unpin(pages) }
    case .fork(let from, let to): await fork(from, to)
    case .exit(let process): await exit(process)
    case .fail(let point, let nth):
      machine.kernel.failures.disarm()
      machine.kernel.failures.arm(point, .nth(nth), error: point.errors.first)
    case .sleepAndWake(let gpu):
      try? await machine.gpus[gpu].driver?.suspend()
      machine.kernel.failures.disarm()
      try? await machine.gpus[gpu].driver?.resume()
    case .rebind(let gpu): return await rebind(gpu)
    }
    return nil
  }

  // MARK: actions

  private func store(_ to: PlaceBytes, _ gpu: Int?) async -> String? {
    guard let member = members[to.process] else { return nil }
    let address = Self.address(to.place, to.offset)
    if let gpu {
      do throws(DeviceAccessError) {
        try await member.process.deviceStore(address, to.bytes, gpu: gpu)
      } catch {
        return nil
      }
    } else {
      do throws(AccessError) {
        try await member.process.space.store(address, to.bytes)
      } catch {
        if case .segv = error, member.mayWrite(to.place) { return "store at \(to): \(error)" }
        return nil
      }
    }
    if !member.mayWrite(to.place) { return "a store to read-only \(to) succeeded" }
    var page = expected(member, to.place)
    page.replaceSubrange(to.offset..<(to.offset + to.bytes.count), with: to.bytes)
    member.bytes[to.place] = page
    return nil
  }

  /// An access may get an error, but never other bytes.
  private func load(_ from: PlaceBytes, _ gpu: Int?) async -> String? {
    guard let member = members[from.process] else { return nil }
    let address = Self.address(from.place, from.offset)
    let space = member.process.space
    let found =
      if let gpu {
        try? await member.process.deviceLoad(address, count: from.count, gpu: gpu)
      } else {
        try? await space.load(address, count: from.count)
      }
    let page = expected(member, from.place)
    guard let found, found != Array(page[from.offset..<(from.offset + from.count)]) else {
      return nil
    }
    return "\(gpu.map { "gpu \($0)" } ?? "the CPU") reads other bytes at \(from)"
  }

  private func protect(_ process: Int, _ writable: Bool) async {
    guard let member = members[process] else { return }
    let range = Part.small(0..<Self.smallPages).range
    if (try? await member.process.space.protect(range, writable ? .readWrite : .read)) != nil {
      member.mayWriteSmall = writable
    }
  }

  private func discard(_ process: Int, _ part: Part) async -> String? {
    guard let member = members[process] else { return nil }
    do throws(KernelError) {
      try await member.process.space.advise(part.range, .dontNeed)
    } catch {
      return "madvise: \(error)"
    }
    for place in Self.places.indices where part.range.contains(Self.address(place)) {
      member.bytes[place] = nil
    }
    return nil
  }

  private func fork(_ from: Int, _ to: Int) async {
    guard let parent = members[from], members[to] == nil else { return }
    guard let process = try? await machine.fork(parent.process, "p\(to)") else { return }
    let child = Member(process)
    child.bytes = parent.bytes
    child.mayWriteSmall = parent.mayWriteSmall
    members[to] = child
  }

  /// The last process stays.
  private func exit(_ process: Int) async {
    guard let member = members[process], members.count(where: { $0 != nil }) > 1 else { return }
    members[process] = nil
    for (owner, pages) in pins where owner === member { member.process.space.unpin(pages) }
    pins.removeAll { $0.member === member }
    await member.process.exit()
  }

  private func rebind(_ gpu: Int) async -> String? {
    machine.kernel.failures.disarm()
    await machine.unbindDriver(gpu: gpu)
    do throws(KernelError) {
      try await machine.boot(gpu: gpu)
      guard let svm = machine.gpus[gpu].svm else { return "gpu \(gpu) has no memory" }
      for member in members { try await member?.process.open(svm) }
      return nil
    } catch {
      return "binding gpu \(gpu) again: \(error)"
    }
  }
}
