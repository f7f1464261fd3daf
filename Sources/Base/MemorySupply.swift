#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Host memory that machines of one thread use one after the other.
///
/// A fresh mapping costs the host a system call, and each page that is touched first an exception:
/// more than all that a small machine does. Memory made from a supply goes back to it, and the next
/// machine gets the same pages, zeroed where the one before wrote.
///
/// INVARIANT: memory that lies here reads as zero, and none of its pages is marked.
/// LOCKING: one thread at a time uses a supply and the memory made from it; nothing is locked.
@safe
public final class MemorySupply {
  /// A mapping that nobody uses, with one mark for each page.
  @safe
  struct Piece {
    let base: UnsafeMutableRawPointer
    let marks: UnsafeMutablePointer<UInt8>
    let count: Int
  }

  private var pieces: [Piece] = []
  /// Pages that were written and zeroed for the next user, since the supply was made.
  public private(set) var recycledPages = 0

  public init() {}

  deinit {
    for piece in pieces {
      _ = unsafe munmap(piece.base, piece.count)
      unsafe piece.marks.deallocate()
    }
  }

  /// Mappings that wait for a user.
  public var idleMappings: Int { pieces.count }

  /// A mapping of exactly `count` bytes, a multiple of the page size; `ENOMEM` when the host
  /// refuses.
  func take(_ count: Int) throws(KernelError) -> Piece {
    if let index = pieces.lastIndex(where: { $0.count == count }) {
      return pieces.remove(at: index)
    }
    let base = unsafe try MappedMemory.map(count)
    let pages = count >> PageSize.shift
    let marks = UnsafeMutablePointer<UInt8>.allocate(capacity: pages + 8)
    unsafe marks.initialize(repeating: 0, count: pages + 8)
    return unsafe Piece(base: base, marks: marks, count: count)
  }

  /// Takes a mapping back and zeroes the pages that are marked.
  func give(_ piece: Piece) {
    let pages = piece.count >> PageSize.shift
    let words = unsafe UnsafeRawPointer(piece.marks)
    var page = 0
    while page < pages {
      // Marks are looked at eight by eight: most memory was never written.
      if unsafe words.loadUnaligned(fromByteOffset: page, as: UInt64.self) == 0 {
        page += 8
        continue
      }
      for index in page..<min(page + 8, pages) where unsafe piece.marks[index] != 0 {
        unsafe piece.marks[index] = 0
        _ = unsafe (piece.base + index << PageSize.shift).initializeMemory(
          as: UInt8.self, repeating: 0, count: PageSize.bytes)
        recycledPages += 1
      }
      page += 8
    }
    pieces.append(piece)
  }

  /// Whether all memory that waits here reads as zero, as it must; reads every page. For tests.
  public func isClean() -> Bool {
    pieces.allSatisfy { piece in
      // Each byte equals the one behind it, and the first is zero.
      unsafe piece.base.load(as: UInt8.self) == 0
        && memcmp(piece.base, piece.base + 1, piece.count - 1) == 0
    }
  }
}
