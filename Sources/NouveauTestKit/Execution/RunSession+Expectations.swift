import Base
import KernelRuntime

extension RunSession {
  /// Checks every part of an expectation and reports each that does not hold.
  func check(_ expectation: Expectation, _ step: Step) {
    if isTolerant {
      for (span, check) in expectation.data where check != .anything {
        checkData(span, .shadow, step)
      }
      return
    }
    for (span, check) in expectation.data { checkData(span, check, step) }
    checkLocations(expectation.locations, step)
    for (span, allowed) in expectation.reasons { checkReasons(span, allowed, step) }
    for (name, comparison) in expectation.counters {
      let found = step.gpu.map { target.counter(name, gpu: $0) } ?? target.counter(name)
      guard let value = found else {
        fail(step, expected: "\(name) \(comparison)", got: "this target has no such counter")
        continue
      }
      compare(step, name, comparison, value)
    }
    checkErrors(expectation.errors, step)
    for (point, comparison) in expectation.injected {
      let count = strikes.first { $0.key == point }?.count ?? 0
      compare(step, "failures of \(point.name)", comparison, count)
    }
    if let fences = expectation.fences { checkFences(fences, step) }
    if let trace = expectation.trace { checkTrace(trace, step) }
    if expectation.noLeaks {
      for offence in target.audit() {
        fail(step, expected: Mismatch.auditExpectation, got: offence)
      }
    }
  }

  private func compare(_ step: Step, _ what: String, _ comparison: Comparison, _ value: UInt64) {
    if !comparison.holds(for: value) {
      fail(step, expected: "\(what) \(comparison)", got: "\(value)")
    }
  }

  private func checkData(_ span: PageSpan, _ check: ReadCheck, _ step: Step) {
    let shadow = shadow(span.mapping)
    for page in span.pages.pages {
      let bytes = ByteSpan(PageSpan(mapping: span.mapping, pages: PageRange(page, page)))
      let found = target.peek(mapping: span.mapping, page: page)
      // A page that a broken device lost says so when it is read, at the end of the run.
      if found == nil && isLost(span.mapping, page) { continue }
      // Nothing there reads as zeros: so does a page of anonymous memory that nobody touched.
      let got = found ?? [UInt8](repeating: 0, count: bytes.count)
      let before = mismatches.count
      switch check {
      case .anything: continue
      case .zeros: compare(step, bytes, got, [UInt8](repeating: 0, count: bytes.count))
      case .bytes(let expected): compare(step, bytes, got, expected)
      case .shadow:
        if let bad = shadow.end(shadow.beginRead(bytes.range), got: got) {
          fail(
            step, expected: Self.byte(bad.expected, at: bad.offset),
            got: Self.byte(bad.got, at: bad.offset))
        }
      }
      if mismatches.count > before { return }
    }
  }

  private func isLost(_ mapping: String, _ page: Int) -> Bool {
    guard isTolerant && mayLose else { return false }
    let place = target.location(mapping: mapping, page: page)
    return place != .none && place != .zero
  }

  /// One report for each run of pages that lies elsewhere.
  private func checkLocations(
    _ wanted: [(span: PageSpan, location: PageLocation)], _ step: Step
  ) {
    for (span, location) in wanted {
      var runs: [(first: Int, last: Int, found: PageLocation)] = []
      for page in span.pages.pages {
        let found = target.location(mapping: span.mapping, page: page)
        guard found != location else { continue }
        if let last = runs.last, last.last == page - 1 && last.found == found {
          runs[runs.count - 1].last = page
        } else {
          runs.append((page, page, found))
        }
      }
      for run in runs {
        fail(
          step, expected: "\(PageRange(run.first, run.last)) of \(span.mapping): \(location)",
          got: run.found.rawValue)
      }
    }
  }

  /// One report for each run of pages that stayed for another reason, or moved.
  private func checkReasons(_ span: PageSpan, _ allowed: [String?], _ step: Step) {
    let expected = allowed.map { $0 ?? "it moved" }.joined(separator: " or ")
    guard let last = migrations.last(where: { $0.span.mapping == span.mapping }) else {
      fail(step, expected: "\(span.pages) of \(span.mapping): \(expected)", got: "no migration yet")
      return
    }
    var runs: [(first: Int, last: Int, found: String)] = []
    for page in span.pages.pages {
      let stayed = last.reason(of: page)
      guard !allowed.contains(stayed?.reason) else { continue }
      let isAsked = last.span.pages.pages.contains(page)
      let found =
        stayed.map { "\($0.reason): \($0.detail)" }
        ?? (isAsked ? "it moved" : "step \(last.step) did not ask for it")
      if let run = runs.last, run.last == page - 1 && run.found == found {
        runs[runs.count - 1].last = page
      } else {
        runs.append((page, page, found))
      }
    }
    for run in runs {
      fail(
        step, expected: "\(PageRange(run.first, run.last)) of \(span.mapping): \(expected)",
        got: run.found)
    }
  }

  private func checkErrors(_ expectation: ErrorExpectation?, _ step: Step) {
    switch expectation {
    case nil: return
    case .some(.none):
      guard !errors.isEmpty else { return }
      let seen = errors.map { "\($0.key): \($0.count)" }.joined(separator: ", ")
      fail(step, expected: "no errors so far", got: seen)
    case .some(.counts(let counts)):
      for (name, comparison) in counts {
        let count = errors.first { $0.key == name }?.count ?? 0
        compare(step, "steps that came back with \(name)", comparison, count)
      }
    }
  }

  private func checkFences(_ expectation: FenceExpectation, _ step: Step) {
    let counts = target.fenceCounts()
    let parts = [
      ("signalled fences", expectation.signalled, counts.signalled),
      ("failed fences", expectation.failed, counts.failed),
      ("pending fences", expectation.pending, counts.pending),
    ]
    for (what, comparison, value) in parts {
      if let comparison { compare(step, what, comparison, value) }
    }
  }

  private func checkTrace(_ expectation: TraceExpectation, _ step: Step) {
    let names = target.kernel.trace.events.map(\.kind.name)
    var at = names.startIndex
    for (index, wanted) in expectation.order.enumerated() {
      guard let found = names[at...].firstIndex(of: wanted) else {
        let before = index == 0 ? "" : " after \(expectation.order[index - 1])"
        fail(step, expected: "trace event \(wanted)\(before)", got: absence(of: wanted, in: names))
        break
      }
      at = found + 1
    }
    for unwanted in expectation.absent where names.contains(unwanted) {
      fail(step, expected: "no trace event \(unwanted)", got: "it happened")
    }
    for (name, comparison) in expectation.counts {
      let count = names.reduce(UInt64(0)) { $0 + ($1 == name ? 1 : 0) }
      compare(step, "trace events \(name)", comparison, count)
    }
  }

  private func absence(of name: String, in names: [String]) -> String {
    if names.contains(name) { return "it happened only before" }
    var kinds: [String] = []
    for seen in names where !kinds.contains(seen) { kinds.append(seen) }
    return "it never happened; " + NearestName.remedy(for: name, in: kinds, what: "an event")
  }
}
