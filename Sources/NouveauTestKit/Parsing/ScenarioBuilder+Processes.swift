import Base

// Steps that change processes and what they have mapped.
extension ScenarioBuilder {
  mutating func processAction(_ verb: String, _ object: CheckedObject) -> Step.Action {
    switch verb {
    case "fork": return .fork(forkPlan(object))
    case "move":
      return .move(
        mapping: resolve(.mapping, object.required("mapping")),
        keep: object["keep"]?.flag ?? false)
    case "advise":
      let advice = ScenarioAdvice(rawValue: object.required("advice").text) ?? .dontNeed
      let span = pageSpan(object)
      let kind = mappings.first { $0.name == span.mapping }?.kind ?? .anonymous
      let mayGo = advice == .dontNeed || advice == .free
      return .advise(span, advice, clears: mayGo && !kind.isShared)
    default:
      let (mapping, page) = onePage(object, remedy: "poison one page, 'P0'")
      return .poison(mapping: mapping, page: page)
    }
  }

  /// The one page under `page`; reports more than one.
  mutating func onePage(_ object: CheckedObject, remedy: String) -> (mapping: String, page: Int) {
    let span = pageSpan(object, key: "page")
    if span.pages.count > 1 {
      report(object.required("page").mark, "'page' is \(span.pages)", remedy: remedy)
    }
    return (span.mapping, span.pages.first)
  }

  /// Declares the child and its mappings: `kid.buffer` for `buffer`.
  private mutating func forkPlan(_ object: CheckedObject) -> ForkPlan {
    let process = resolve(.process, object.required("process"))
    let word = object.required("child")
    let child = declare(.process, word)
    var pairs: [ForkPlan.Pair] = []
    for plan in mappings where plan.process == process {
      let own = plan.name.split(separator: ".").last.map(String.init) ?? plan.name
      let copy = "\(child).\(own)"
      if let earlier = scope.declare(.mapping, copy, at: word.mark) {
        report(
          word.mark, "the mapping '\(copy)' is already defined in line \(earlier.line)",
          remedy: "give the child another name")
        continue
      }
      pairs.append(
        ForkPlan.Pair(mapping: plan.name, copy: copy, isShared: plan.kind.isShared))
      mappings.append(
        MappingPlan(
          name: copy, process: child, pageCount: plan.pageCount, protection: plan.protection,
          kind: plan.kind))
    }
    return ForkPlan(process: process, child: child, mappings: pairs)
  }
}
