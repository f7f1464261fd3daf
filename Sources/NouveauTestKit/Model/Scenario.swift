import Base

/// A flow to run on a machine, with what should come of it. Read from a file by ``ScenarioParser``.
public struct Scenario: Sendable {
  public let name: String
  public let summary: String
  /// Catalogue entries and rules that it stands for.
  public let covers: [String]
  /// What some order has to reach.
  public let reaches: [MigrationMark]
  public let machine: MachinePlan
  public let processes: [ProcessPlan]
  public let steps: [Step]
  /// The file as the caller named it.
  public let file: String

  /// Every mapping, in the order of the file.
  public var mappings: [MappingPlan] { processes.flatMap(\.mappings) }

  public func mapping(_ name: String) -> MappingPlan? { mappings.first { $0.name == name } }
}

/// The machine that a scenario asks for.
public struct MachinePlan: Hashable, Sendable {
  public enum Order: String, Sendable, CaseIterable {
    case fifo
    case random
  }

  /// The GPU's profile by its name in the schema.
  public var profile = "gp100"
  /// Where the file names the profile; nil when it doesn't.
  public var profileMark: SourceMark?
  public var ramBytes: UInt64 = 64 << 20
  public var vramBytes: UInt64 = 64 << 20
  /// The fault-around policy by its name in the schema.
  public var policy = "single"
  /// Pages of one batch; nil for the driver's own choice.
  public var batchPages: Int?
  /// Swap space; none, and nothing is swapped out.
  public var swapBytes: UInt64 = 0
  /// What the processes together may have; nil without a limit.
  public var memoryLimit: UInt64?
  /// Whether a process is killed when memory runs out.
  public var killsWhenOutOfMemory = false
  /// When faults use huge pages, by its name in the schema.
  public var hugePages = "never"
  /// Huge pages stay whole on the device.
  public var hasHugeFolios = false
  /// How often a bulk migration tries the unified walk of 2025 on a batch; 0 for the older way.
  public var unifiedWalkTries = 0
  /// Empty chunks that are not given back unasked; nil for the driver's own choice.
  public var keptChunks: Int?
  /// GPUs, all alike.
  public var gpuCount = 1
  /// What a migration does with pages of another GPU, by its name in the schema.
  public var peers = "stay"
  /// Whose copy engine moves pages between GPUs, by its name in the schema.
  public var peerEngine = "source"
  /// Whether the bus has paths between the GPUs.
  public var hasPeerAccess = true
  public var seed: UInt64 = 0
  public var isRealTime = false
  public var order = Order.fifo

  public init() {}
}

/// A process and its mappings.
public struct ProcessPlan: Hashable, Sendable {
  public let name: String
  public let mappings: [MappingPlan]
}

/// One mapping.
public struct MappingPlan: Hashable, Sendable {
  public let name: String
  public let process: String
  public let pageCount: Int
  public let protection: ScenarioProtection
  public var kind = MappingKind.anonymous

  /// Every page.
  public var allPages: PageRange { PageRange(0, pageCount - 1) }
}

/// What stands behind a mapping.
public enum MappingKind: String, Sendable, CaseIterable {
  /// Private and without a file.
  case anonymous
  /// Without a file; a child of the process sees the same pages.
  case shared
  /// A file of its own, of zeros; stores make private copies.
  case privateFile = "private-file"
  /// A file of its own, of zeros; stores reach it.
  case sharedFile = "shared-file"

  var isShared: Bool { self == .shared || self == .sharedFile }
}

/// What a process says of pages (`madvise`).
public enum ScenarioAdvice: String, Sendable, CaseIterable {
  case dontNeed = "dontneed"
  case free
  case cold
  case pageOut = "pageout"
  case huge
  case noHuge = "no-huge"
  case collapse
  case lock
  case unlock
}

/// What a process may do with pages.
public enum ScenarioProtection: String, Sendable, CaseIterable {
  case none
  case read
  case readWrite = "read-write"
}

/// Who accesses.
public enum Accessor: String, Sendable, CaseIterable {
  case cpu
  case device
}

/// Where pages migrate to.
public enum MemorySide: String, Sendable, CaseIterable {
  case device
  case ram
}

/// Where a page lies.
public enum PageLocation: String, Sendable, CaseIterable {
  case none
  case zero
  case ram
  /// Of the first GPU.
  case device
  case gpu1
  case gpu2
  case gpu3
  case migrating
  case swap
  case poison
}

/// Pages of a mapping.
public struct PageSpan: Hashable, Sendable, CustomStringConvertible {
  public let mapping: String
  public let pages: PageRange

  public init(mapping: String, pages: PageRange) {
    self.mapping = mapping
    self.pages = pages
  }

  public var description: String { "\(pages) of \(mapping)" }
}

/// Bytes of a mapping.
public struct ByteSpan: Hashable, Sendable, CustomStringConvertible {
  public let mapping: String
  /// Bytes from the start of the mapping.
  public let offset: Int
  public let count: Int

  public init(mapping: String, offset: Int, count: Int) {
    self.mapping = mapping
    self.offset = offset
    self.count = count
  }

  public init(_ span: PageSpan) {
    self.init(
      mapping: span.mapping, offset: span.pages.byteOffset, count: span.pages.byteCount)
  }

  public var range: Range<Int> { offset..<offset + count }

  public var description: String {
    let page = PageSize.bytes
    if count > 0 && offset.isMultiple(of: page) && count.isMultiple(of: page) {
      let first = offset / page
      return "\(PageRange(first, first + count / page - 1)) of \(mapping)"
    }
    return "\(count) bytes at \(MappingOffset(bytes: offset)) of \(mapping)"
  }
}
