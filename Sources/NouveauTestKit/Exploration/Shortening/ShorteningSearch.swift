import KernelRuntime

/// The state of one shortening: the best run so far, and the ways to a shorter one.
struct ShorteningSearch {
  /// What can be taken out of a run.
  enum Part {
    case injection(Injection)
    case step(AnchoredChoices.Step)
  }

  /// A run that shows the offence.
  struct Best {
    let parts: [Part]
    let token: ReplayToken
    let offence: Offence
  }

  let runner: FlowRunner
  let limit: Int
  let flow: String
  let seed: UInt64
  let name: String
  private(set) var best: Best?
  private(set) var runs = 0

  init(runner: FlowRunner, limit: Int, flow: String, seed: UInt64, name: String) {
    self.runner = runner
    self.limit = limit
    self.flow = flow
    self.seed = seed
    self.name = name
  }

  private var parts: [Part] { best?.parts ?? [] }
  private var mayGoOn: Bool { runs < limit && !parts.isEmpty }

  /// Runs the token as it is, and learns where its decisions belong; false when the offence isn't
  /// there.
  mutating func learn(_ token: ReplayToken) -> Bool {
    run(AnchoredChoices(learning: token.schedule), token.injections)
  }

  /// Runs with these parts; keeps the run as the best when it shows the offence with fewer.
  private mutating func attempt(_ parts: [Part]) -> Bool {
    guard runs < limit else { return false }
    var steps: [AnchoredChoices.Step] = []
    var injections: [Injection] = []
    for part in parts {
      switch part {
      case .injection(let injection): injections.append(injection)
      case .step(let step): steps.append(step)
      }
    }
    return run(AnchoredChoices(steps, seed: seed), injections)
  }

  private mutating func run(_ choices: AnchoredChoices, _ injections: [Injection]) -> Bool {
    runs += 1
    let outcome = runner.run(choices, seed: seed, injections: injections)
    guard let offence = outcome.offences.first(where: { $0.name == name }),
      !outcome.struck.contains(false)
    else { return false }
    let found = injections.map(Part.injection) + choices.taken.map(Part.step)
    // What was left out may have been replaced by something else; the run must not grow.
    guard best == nil || found.count < parts.count else { return false }
    best = Best(
      parts: found,
      token: ReplayToken(flow: flow, schedule: outcome.schedule, injections: injections),
      offence: offence)
    return true
  }

  /// Drops the end of the list: what was chosen after the offence doesn't matter.
  mutating func reduceToPrefix() {
    if attempt([]) { return }
    var low = 0
    var high = parts.count
    while low + 1 < high && mayGoOn {
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
    while mayGoOn {
      var at = 0
      var hasShrunk = false
      while at < parts.count && mayGoOn {
        var rest = parts
        rest.removeSubrange(at..<min(at + size, rest.count))
        if attempt(rest) { hasShrunk = true } else { at += size }
      }
      if size == 1 && !hasShrunk { return }
      size = hasShrunk ? min(size, max(parts.count / 2, 1)) : max(size / 2, 1)
    }
  }

  /// Takes out any two parts: a preemption and the way back often hold each other in place.
  mutating func reduceByPairs() {
    var first = 0
    while first + 1 < parts.count && mayGoOn {
      var second = first + 1
      var hasShrunk = false
      while second < parts.count && mayGoOn && !hasShrunk {
        var rest = parts
        rest.remove(at: second)
        rest.remove(at: first)
        hasShrunk = attempt(rest)
        second += 1
      }
      if hasShrunk {
        reduceByChunks()
        first = 0
      } else {
        first += 1
      }
    }
  }

  /// Looks for a run with the same failures and a single decision, at any place, for any of the
  /// runnables that the best run preferred.
  mutating func tryInsteadASingleDecision() {
    let injections = parts.compactMap { part -> Injection? in
      if case .injection(let injection) = part { injection } else { nil }
    }
    guard parts.count > injections.count + 1 && mayGoOn else { return }
    runs += 1
    let plain = runner.replay(Schedule(seed: seed), injections: injections, isStrict: false)
    for index in 0..<plain.schedule.decisionCount {
      for decision in taskIDs.map(Decision.runnable) + [.time] {
        guard mayGoOn else { return }
        let entry = Schedule.Entry(index: index, decision: decision)
        let single = Schedule(seed: seed, entries: [entry])
        if run(AnchoredChoices(learning: single), injections) { return reduceByChunks() }
      }
    }
  }

  /// The runnables that the best run chose against the plain order.
  private var taskIDs: [Int] {
    var ids: [Int] = []
    for part in parts {
      guard case .step(let step) = part, case .runnable(let id) = step.decision.kind else {
        continue
      }
      if !ids.contains(id) { ids.append(id) }
    }
    return ids
  }
}
