import Base
import LinuxMM

/// What several processes must see, said without pages: words, who shares them, who may touch them.
struct ProcessOracle {
  static let window = 24
  static let fileWords = 24

  /// A file or a piece of shared memory: one word a page.
  struct Object {
    var words = [UInt64](repeating: 0, count: ProcessOracle.fileWords)
    /// Pages up to the end.
    var limit = ProcessOracle.fileWords
  }

  /// One page of one process's window.
  struct Page {
    var protection: Protection
    var isShared = false
    /// Object and page in it; nil for private anonymous memory.
    var backing: (object: Int, page: Int)?
    /// A private page's own word; nil while it shows the object's.
    var own: UInt64?
  }

  enum Outcome: Equatable {
    case word(UInt64)
    case segv(AccessError.SegvCode)
    case sigbus
  }

  var objects: [Object] = []
  var processes: [[Page?]] = [[Page?](repeating: nil, count: ProcessOracle.window)]

  func isMapped(_ process: Int, _ range: Range<Int>) -> Bool {
    range.allSatisfy { processes[process][$0] != nil }
  }

  func isFree(_ process: Int, _ range: Range<Int>) -> Bool {
    range.allSatisfy { processes[process][$0] == nil }
  }

  /// What an access gets; for a write, the word that it replaces.
  func access(_ process: Int, _ place: Int, write: Bool) -> Outcome {
    guard let page = processes[process][place] else { return .segv(.mapErr) }
    let needed: Protection = write ? .write : .readWrite
    guard !page.protection.isDisjoint(with: needed) else { return .segv(.accErr) }
    if let own = page.own { return .word(own) }
    guard let backing = page.backing else { return .word(0) }
    let object = objects[backing.object]
    return backing.page < object.limit ? .word(object.words[backing.page]) : .sigbus
  }

  mutating func store(_ process: Int, _ place: Int, _ word: UInt64) {
    guard let page = processes[process][place] else { return }
    if page.isShared, let backing = page.backing {
      objects[backing.object].words[backing.page] = word
    } else {
      processes[process][place]?.own = word
    }
  }

  /// A write fault that writes nothing: a private page gets its own copy.
  mutating func touch(_ process: Int, _ place: Int) {
    if case .word(let word) = access(process, place, write: true) { store(process, place, word) }
  }

  /// The pages are gone from one process: private ones read as at first.
  mutating func discard(_ process: Int, _ range: Range<Int>) {
    for place in range { processes[process][place]?.own = nil }
  }

  mutating func move(_ process: Int, _ range: Range<Int>, to first: Int, keepsMapping: Bool) {
    let pages = processes[process][range]
    if keepsMapping {
      discard(process, range)
    } else {
      for place in range { processes[process][place] = nil }
    }
    for (step, page) in pages.enumerated() { processes[process][first + step] = page }
  }

  /// A new end: what lies beyond is gone, private copies too.
  mutating func truncate(_ object: Int, to limit: Int) {
    objects[object].limit = limit
    for page in limit..<Self.fileWords { objects[object].words[page] = 0 }
    for process in processes.indices {
      for place in 0..<Self.window {
        guard let backing = processes[process][place]?.backing, backing.object == object,
          backing.page >= limit
        else { continue }
        processes[process][place]?.own = nil
      }
    }
  }
}
