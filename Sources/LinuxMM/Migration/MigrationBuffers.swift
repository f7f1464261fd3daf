public import Base

/// The source and destination arrays of one migration, reusable for the next one.
///
/// UNSAFE: the two arrays are raw words, so that a driver's loops over pages cost a load and a
/// compare each; every index is checked.
@safe
public final class MigrationBuffers {
  /// How many pages fit (R1: both arrays have room for every page of the range).
  public let capacity: Int
  @usableFromInline let words: UnsafeMutablePointer<UInt64>
  /// Bits of a source that only the model reads.
  @usableFromInline static let ownBits: UInt64 = 0b11_0000

  /// Where in the chain of steps the arrays are.
  enum Phase {
    case idle
    case collected
    case committed
  }

  var phase = Phase.idle
  /// Pages of the range (`npages`).
  @usableFromInline var count = 0
  /// Places that may migrate (`cpages`).
  @usableFromInline var collected = 0
  /// The range's process; nil when a physical range migrates.
  var space: AddressSpace?
  var manager: MemoryManager?
  var start = VirtualAddress(0)
  var owner: PagemapOwner?
  var faultPage: PFN?

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

  @inlinable
  @inline(__always)
  func source(_ index: Int) -> MigratePFN {
    invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "page \(index) of \(count)")
    return MigratePFN(rawValue: unsafe words[index] & ~Self.ownBits)
  }

  @inlinable
  @inline(__always)
  func destination(_ index: Int) -> MigratePFN {
    invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "page \(index) of \(count)")
    return MigratePFN(rawValue: unsafe words[capacity + index])
  }

  @inlinable
  @inline(__always)
  func setDestination(_ index: Int, _ value: MigratePFN) {
    invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "page \(index) of \(count)")
    unsafe words[capacity + index] = value.rawValue
  }

  /// Both arrays for a loop of this module.
  var arrays: MigrationArrays {
    unsafe MigrationArrays(words, words + capacity, capacity)
  }
}

/// The two arrays as pointers in registers.
@safe
struct MigrationArrays {
  private let sources: UnsafeMutablePointer<UInt64>
  private let destinations: UnsafeMutablePointer<UInt64>
  private let count: Int

  @unsafe
  fileprivate init(
    _ sources: UnsafeMutablePointer<UInt64>, _ destinations: UnsafeMutablePointer<UInt64>,
    _ count: Int
  ) {
    unsafe self.sources = unsafe sources
    unsafe self.destinations = unsafe destinations
    self.count = count
  }

  subscript(source index: Int) -> MigratePFN {
    @inline(__always)
    get {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "page \(index) of \(count)")
      return MigratePFN(rawValue: unsafe sources[index])
    }
    @inline(__always)
    nonmutating set {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "page \(index) of \(count)")
      unsafe sources[index] = newValue.rawValue
    }
  }

  subscript(destination index: Int) -> MigratePFN {
    @inline(__always)
    get {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "page \(index) of \(count)")
      return MigratePFN(rawValue: unsafe destinations[index])
    }
    @inline(__always)
    nonmutating set {
      invariant(UInt(bitPattern: index) < UInt(bitPattern: count), "page \(index) of \(count)")
      unsafe destinations[index] = newValue.rawValue
    }
  }
}
