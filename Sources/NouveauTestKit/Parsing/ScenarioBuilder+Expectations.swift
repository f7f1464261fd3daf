import Base
import KernelRuntime

extension ScenarioBuilder {
  mutating func expectation(_ object: CheckedObject) -> Expectation {
    var result = Expectation()
    for item in object["data"]?.list ?? [] {
      let span = pageSpan(item.object)
      result.data.append((span, readCheck(item.object["is"])))
    }
    for (mapping, pages) in object["location"]?.table ?? [] {
      for (range, word) in pages.table {
        let span = pageSpan(mapping: mapping, pages: range)
        result.locations.append((span, PageLocation(rawValue: word.text) ?? .none))
      }
    }
    for (mapping, pages) in object["why"]?.table ?? [] {
      for (range, word) in pages.table {
        let words = if case .list(let words) = word.value { words.map(\.text) } else { [word.text] }
        let reasons = words.map { $0 == "none" ? nil : $0 }
        result.reasons.append((pageSpan(mapping: mapping, pages: range), reasons))
      }
    }
    result.counters = counts(object["counters"])
    if let errors = object["errors"] {
      if case .text = errors.value {
        result.errors = ErrorExpectation.none
      } else {
        result.errors = .counts(counts(errors))
      }
    }
    for (name, comparison) in counts(object["injected"]) {
      if let point = InjectionPoint(name: name) { result.injected.append((point, comparison)) }
    }
    if let fences = object["fences"]?.object {
      result.fences = FenceExpectation(
        signalled: fences["signalled"]?.comparison, failed: fences["failed"]?.comparison,
        pending: fences["pending"]?.comparison)
    }
    if let trace = object["trace"]?.object {
      result.trace = TraceExpectation(
        order: trace["order"]?.list.map(\.text) ?? [],
        absent: trace["absent"]?.list.map(\.text) ?? [], counts: counts(trace["count"]))
    }
    result.noLeaks = object["leaks"] != nil
    if object.fields.isEmpty {
      report(
        object.mark, "'expect' expects nothing",
        remedy: "add one of: \(object.schema.keys.map(\.name).joined(separator: ", "))")
    }
    return result
  }

  private func counts(_ table: Checked?) -> [(name: String, Comparison)] {
    (table?.table ?? []).map { ($0.key.text, $0.value.comparison) }
  }
}
