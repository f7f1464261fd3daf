import KernelRuntime

/// Takes out of a failing run what isn't needed for its offence: preemptions, other changes of
/// order, draws and failures.
///
/// SOURCE: A. Zeller, R. Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE TSE
/// 28(2), 2002 (ddmin). After each success the run's own choices replace the ones tried, so that
/// numbers of later decisions stay true and choices without effect drop out by themselves.
///
/// The result is the same for the same token, and no part of it can be left out alone when the bound
/// on runs wasn't met.
public struct Shortener {
  public struct Result: Sendable {
    public let token: ReplayToken
    /// The offence as the shortened run shows it.
    public let offence: Offence
    /// Runs spent.
    public let runs: Int
    /// The bound was met before nothing more could be taken out.
    public let isCutShort: Bool
  }

  /// A decision or a failure.
  private enum Part {
    case entry(Schedule.Entry)
    case injection(Injection)
  }

  private let runner: FlowRunner
  private let limit: Int

  public init(_ runner: FlowRunner, limit: Int = 400) {
    self.runner = runner
    self.limit = limit
  }

  /// A run as short as can be found that has an offence with this name; nil when the token's own run
  /// hasn't.
  public func shorten(_ token: ReplayToken, keeping name: String) -> Result? {
    var search = Search(runner: runner, limit: limit, token: token, name: name)
    guard search.attempt(Self.parts(token)) else { return nil }
    search.reduceToPrefix()
    search.reduceByChunks()
    guard let offence = search.offence else { return nil }
    return Result(
      token: search.best, offence: offence, runs: search.runs, isCutShort: search.runs >= limit)
  }

  private static func parts(_ token: ReplayToken) -> [Part] {
    token.injections.map(Part.injection) + token.schedule.entries.map(Part.entry)
  }

  private struct Search {
    let runner: FlowRunner
    let limit: Int
    let name: String
    private(set) var best: ReplayToken
    private(set) var offence: Offence?
    private(set) var runs = 0

    init(runner: FlowRunner, limit: Int, token: ReplayToken, name: String) {
      self.runner = runner
      self.limit = limit
      self.name = name
      best = token
    }

    private var parts: [Part] { Shortener.parts(best) }

    /// Runs with these parts; keeps the run as the best when it shows the offence with fewer parts.
    mutating func attempt(_ parts: [Part]) -> Bool {
      guard runs < limit else { return false }
      runs += 1
      var entries: [Schedule.Entry] = []
      var injections: [Injection] = []
      for part in parts {
        switch part {
        case .entry(let entry): entries.append(entry)
        case .injection(let injection): injections.append(injection)
        }
      }
      let outcome = runner.replay(
        Schedule(seed: best.schedule.seed, entries: entries), injections: injections,
        isStrict: false)
      guard let found = outcome.offences.first(where: { $0.name == name }),
        !outcome.struck.contains(false)
      else { return false }
      let candidate = ReplayToken(
        flow: best.flow, schedule: outcome.schedule, injections: injections)
      // A replay may need choices of its own where the tried ones weren't there; it must not grow.
      guard offence == nil || Shortener.parts(candidate).count < self.parts.count else {
        return false
      }
      best = candidate
      offence = found
      return true
    }

    /// Drops the end of the list: what was chosen after the offence doesn't matter.
    mutating func reduceToPrefix() {
      if attempt([]) { return }
      var low = 0
      var high = parts.count
      while low + 1 < high && runs < limit {
        let middle = (low + high) / 2
        if attempt(Array(parts.prefix(middle))) {
          high = min(middle, parts.count)
        } else {
          low = middle
        }
      }
    }

    /// Takes out chunks, first large, then small, then single parts, until none can go.
    mutating func reduceByChunks() {
      var size = max(parts.count / 2, 1)
      while runs < limit {
        var at = 0
        var hasShrunk = false
        while at < parts.count && runs < limit {
          var rest = parts
          rest.removeSubrange(at..<min(at + size, rest.count))
          if attempt(rest) { hasShrunk = true } else { at += size }
        }
        if size == 1 && !hasShrunk { return }
        size = hasShrunk ? min(size, max(parts.count / 2, 1)) : max(size / 2, 1)
      }
    }
  }
}
