public import Base
import KernelRuntime

/// The source and destination arrays of one migration, reusable for the next one.
///
/// UNSAFE: the two arrays are raw words, so that a driver's loops over pages cost a load and a
/// compare each; every index is checked.
@safe
public final class MigrationBuffers {
  /// How many pages fit (R1: both arrays have room for every page of the range).
  public let capacity: Int
  private let words: UnsafeMutablePointer<UInt64>
  /// Where in the chain of steps the arrays are.
  enum Phase {
    case idle
    /// By a unified walk (the form of 2025), before its setup.
    case prepared
    case collected
    case committed
  }

  var phase = Phase.idle
  /// Pages of the range (`npages`).
  var count = 0
  /// Where words for a huge page stand, in order; nearly always none.
  var compounds: [Int] = []
  /// Places that may migrate (`cpages`).
  var collected = 0
  /// The range's process; nil when a physical range migrates.
  var space: AddressSpace?
  // Not owned: the machine lists its active migrations.
  unowned var manager: MemoryManager?
  /// The range's first address; of a process's range only.
  var start = VirtualAddress(0)
  /// Where the range begins, as all its events name it: an address, or of a physical range the
  /// first frame.
  var tracedStart: UInt64 = 0
  var owner: PagemapOwner?
  var faultPage: PFN?
  /// Who migrates.
  var task: Runnable?
  /// Kept when somebody asked for them.
  var reasons: MigrationReasons?

  /// Room for `pages` pages.
  public init(pages: Int) {
    invariant(pages > 0, "a migration of \(pages) pages")
    capacity = pages
    unsafe words = UnsafeMutablePointer<UInt64>.allocate(capacity: pages * 2)
    unsafe words.initialize(repeating: 0, count: pages * 2)
  }

  deinit {
    unsafe words.deallocate()
  }

  /// Both arrays for a loop of this module.
  var arrays: MigrationArrays {
    unsafe MigrationArrays(words, words + capacity, capacity)
  }

  /// Both arrays, cut to the range's pages: what a driver is shown.
  var shownArrays: MigrationArrays {
    unsafe MigrationArrays(words, words + capacity, count)
  }
}

/// The two arrays as pointers in registers.
@safe
@usableFromInline
struct MigrationArrays {
  @usableFromInline let sources: UnsafeMutablePointer<UInt64>
  @usableFromInline let destinations: UnsafeMutablePointer<UInt64>
  @usableFromInline let count: Int

  @unsafe
  fileprivate init(
    _ sources: UnsafeMutablePointer<UInt64>, _ destinations: UnsafeMutablePointer<UInt64>,
    _ count: Int
  ) {
    unsafe self.sources = unsafe sources
    unsafe self.destinations = unsafe destinations
    self.count = count
  }

  @usableFromInline
  subscript(source index: Int) -> MigratePFN {
    @inlinable
    @inline(__always)
    get {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "page \(index) of \(count)")
      return MigratePFN(rawValue: unsafe sources[index])
    }
    @inlinable
    @inline(__always)
    nonmutating set {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "page \(index) of \(count)")
      unsafe sources[index] = newValue.rawValue
    }
  }

  @usableFromInline
  subscript(destination index: Int) -> MigratePFN {
    @inlinable
    @inline(__always)
    get {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "page \(index) of \(count)")
      return MigratePFN(rawValue: unsafe destinations[index])
    }
    @inlinable
    @inline(__always)
    nonmutating set {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "page \(index) of \(count)")
      unsafe destinations[index] = newValue.rawValue
    }
  }
}
