import KernelRuntime

/// What reports call a step that has no name of its own.
enum StepTitle {
  static func of(_ action: Step.Action, gpu: Int?) -> String {
    of(action) + (gpu.map { " (gpu \($0))" } ?? "")
  }

  private static func of(_ action: Step.Action) -> String {
    switch action {
    case .fill(let span, _, let by): "fill \(span)\(suffix(by))"
    case .write(let span, _, let by): "write \(span)\(suffix(by))"
    case .read(let span, _, let by): "read \(span)\(suffix(by))"
    case .touch(let span, let write): "touch \(span)\(write ? " for writing" : "")"
    case .migrate(let span, let side, _): "migrate \(span) to \(side.rawValue)"
    case .pin(let name, let span, let kind):
      "pin \(span) as \(name)\(kind.isLongTerm ? " for long" : "")"
    case .unpin(let name): "unpin \(name)"
    case .hold(let name, let mapping, let page): "hold P\(page) of \(mapping) as \(name)"
    case .release(let name): "release \(name)"
    case .protect(let span, let protection): "protect \(span): \(protection.rawValue)"
    case .unmap(let span): "unmap \(span)"
    case .fork(let plan): "fork \(plan.process) as \(plan.child)"
    case .move(let mapping, let keep): "move \(mapping)\(keep ? ", old addresses kept" : "")"
    case .advise(let span, let advice, _): "advise \(span): \(advice.rawValue)"
    case .poison(let mapping, let page): "poison P\(page) of \(mapping)"
    case .exit(let process): "exit \(process)"
    case .parallel(let branches):
      "parallel " + branches.map(\.name).joined(separator: " || ")
    case .repeated(let times, _): "repeat \(times) times"
    case .spawn(let branch): "spawn \(branch.name)"
    case .join(let task): "join \(task)"
    case .arm(let request): "arm \(request.point.name), \(request.when)"
    case .disarm(let point): "disarm \(point?.name ?? "all")"
    case .delay(let nanoseconds): "delay \(nanoseconds) ns"
    case .suspend: "suspend"
    case .resume: "resume"
    case .trim: "trim"
    case .teardown: "teardown"
    case .expect: "expect"
    }
  }

  private static func suffix(_ by: Accessor) -> String { by == .device ? " by the device" : "" }
}
