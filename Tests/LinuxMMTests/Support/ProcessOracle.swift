import Base
import LinuxMM

/// What several processes must see, said without pages: words, who shares them, who may touch them.
struct ProcessOracle {
  static let window = 24
  static let fileWords = 24
  /// Objects before this one are files, those from it on shared memory.
  static let files = 2

  /// A file or a piece of shared memory: one word a page.
  struct Object {
    var words = [UInt64](repeating: 0, count: ProcessOracle.fileWords)
    /// Pages up to the end.
    var limit = ProcessOracle.fileWords
  }

  /// Whether a handler's protection keeps a place from being written.
  enum Guarding {
    case none
    case sure
    /// The protection went if the page did.
    case unsure
  }

  /// One page of one process's window.
  struct Page {
    var protection: Protection
    var isShared = false
    /// Object and page in it; nil for private anonymous memory.
    var backing: (object: Int, page: Int)?
    /// A private page's own word; nil while it shows the object's.
    var own: UInt64?
    /// Freed lazily and not written since: the word may be gone at any time.
    var mayBeGone = false
    /// A memory error took the page.
    var isLost = false
    var isLocked = false
    /// What a userfaultfd watches here.
    var watch: Userfault.Mode = []
    var guarding = Guarding.none

    var isAnonymous: Bool { backing == nil }
    var isSharedMemory: Bool { backing.map { $0.object >= ProcessOracle.files } ?? false }

    /// The page is gone: the place is as at first.
    mutating func forget() {
      own = nil
      mayBeGone = false
      isLost = false
      if isAnonymous { guarding = .none }
    }
  }

  enum Outcome: Equatable {
    case word(UInt64)
    case segv(AccessError.SegvCode)
    case sigbus
    case poisoned
    /// A handler would be needed.
    case watched
    case outOfMemory
  }

  var objects: [Object] = []
  var processes: [[Page?]] = [[Page?](repeating: nil, count: ProcessOracle.window)]
  /// Whether an allocation may meet a limit.
  var isTight = false

  func isMapped(_ process: Int, _ range: Range<Int>) -> Bool {
    range.allSatisfy { processes[process][$0] != nil }
  }

  func isFree(_ process: Int, _ range: Range<Int>) -> Bool {
    range.allSatisfy { processes[process][$0] == nil }
  }

  /// The mapped places of a range.
  func mapped(_ process: Int, _ range: Range<Int>) -> [Int] {
    range.filter { processes[process][$0] != nil }
  }

  /// The places of a range up to its first hole.
  func prefix(_ process: Int, _ range: Range<Int>) -> Range<Int> {
    range.lowerBound..<(range.first { processes[process][$0] == nil } ?? range.upperBound)
  }

  mutating func change(_ process: Int, _ place: Int, _ body: (inout Page) -> Void) {
    guard var page = processes[process][place] else { return }
    body(&page)
    processes[process][place] = page
  }

  /// What an access may get; for a write, the word that it replaces. The first is the usual one.
  func outcomes(_ process: Int, _ place: Int, write: Bool) -> [Outcome] {
    guard let page = processes[process][place] else { return [.segv(.mapErr)] }
    let needed: Protection = write ? .write : .readWrite
    guard !page.protection.isDisjoint(with: needed) else { return [.segv(.accErr)] }
    if page.isLost { return [.poisoned] }
    var outcomes = words(page)
    if page.watch.contains(.missing), page.mayBeGone || outcomes == [.word(0)] {
      outcomes.append(.watched)
    }
    if write, page.watch.contains(.writeProtect) {
      switch page.guarding {
      case .none: break
      case .sure: outcomes = [.watched]
      case .unsure: outcomes.append(.watched)
      }
    }
    return isTight ? outcomes + [.outOfMemory] : outcomes
  }

  /// The words that a page may show.
  private func words(_ page: Page) -> [Outcome] {
    if let own = page.own {
      return page.mayBeGone && own != 0 ? [.word(own), .word(0)] : [.word(own)]
    }
    guard let backing = page.backing else { return [.word(0)] }
    let object = objects[backing.object]
    return backing.page < object.limit ? [.word(object.words[backing.page])] : [.sigbus]
  }

  /// Whether an access must succeed.
  func isSure(_ process: Int, _ place: Int, write: Bool) -> Bool {
    outcomes(process, place, write: write).allSatisfy {
      if case .word = $0 { true } else { false }
    }
  }

  /// A read that gave `word`: what was freed lazily is known to be gone once it reads as zero.
  mutating func saw(_ process: Int, _ place: Int, _ word: UInt64) {
    change(process, place) { page in
      guard page.mayBeGone, word == 0 else { return }
      page.mayBeGone = false
      page.own = nil
    }
  }

  mutating func store(_ process: Int, _ place: Int, _ word: UInt64) {
    guard let page = processes[process][place] else { return }
    if page.isShared, let backing = page.backing {
      objects[backing.object].words[backing.page] = word
    } else {
      change(process, place) {
        $0.own = word
        $0.mayBeGone = false
        if $0.guarding == .unsure { $0.guarding = .none }
      }
    }
  }

  /// A write fault that writes nothing: a private page gets its own copy.
  mutating func touch(_ process: Int, _ place: Int) {
    guard let page = processes[process][place], !page.isShared, page.own == nil,
      case .word(let word)? = words(page).first
    else { return }
    store(process, place, word)
  }

  /// The pages are gone from one process: private ones read as at first.
  mutating func discard(_ process: Int, _ range: some Sequence<Int>) {
    for place in range { change(process, place) { $0.forget() } }
  }

  /// A child: what is locked or watched is the parent's alone.
  mutating func fork(_ process: Int) {
    processes.append(
      processes[process].map { page in
        guard var page else { return nil }
        page.isLocked = false
        page.watch = []
        page.guarding = .none
        return page
      })
  }

  mutating func move(_ process: Int, _ range: Range<Int>, to first: Int, keepsMapping: Bool) {
    let pages = processes[process][range]
    for place in range {
      if keepsMapping {
        change(process, place) {
          $0.forget()
          $0.isLocked = false
          $0.guarding = .none
        }
      } else {
        processes[process][place] = nil
      }
    }
    for (step, page) in pages.enumerated() {
      processes[process][first + step] = page
      change(process, first + step) {
        $0.watch = []
        $0.guarding = .none
      }
    }
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
        change(process, place) { $0.forget() }
      }
    }
  }
}
