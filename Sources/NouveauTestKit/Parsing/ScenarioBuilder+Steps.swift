import Base
import KernelRuntime

extension ScenarioBuilder {
  /// The steps of a list; `prefix` is the number of the step that holds them.
  mutating func steps(_ list: Checked, prefix: String) -> [Step] {
    var result: [Step] = []
    for (index, item) in list.list.enumerated() {
      result.append(step(item, number: "\(prefix)\(index + 1)"))
    }
    return result
  }

  private mutating func step(_ item: Checked, number: String) -> Step {
    let object = item.object
    guard let verb = object.fields.first(where: { Schema.verbNames.contains($0.key) }) else {
      invariantFailed("a step without a verb was let through at \(item.mark)")
    }
    let action = action(verb.key, verb.value, number: number)
    let outcomes: [OutcomePattern] =
      switch object["fails"]?.value {
      case .text(let name)?: [pattern(name)]
      case .list(let names)?: names.map { pattern($0.text) }
      default: [.named("none")]
      }
    var gpu: Int?
    if let number = object["gpu"] { gpu = self.gpu(number, of: action) }
    return Step(
      number: number, title: object["name"]?.text ?? StepTitle.of(action, gpu: gpu),
      mark: item.mark, gpu: gpu, outcomes: outcomes, action: action)
  }

  /// The number of a GPU that the machine has, for a step that can be about one.
  private mutating func gpu(_ number: Checked, of action: Step.Action) -> Int? {
    let count = gpuCount
    guard number.number < UInt64(count) else {
      report(
        number.mark, "the machine has no GPU \(number.number)",
        remedy: count == 1
          ? "say 'gpus: \(number.number + 1)' of the machine" : "its GPUs are 0 to \(count - 1)")
      return nil
    }
    guard action.canNameGPU else {
      report(
        number.mark, "'gpu' says nothing here",
        remedy: "it belongs to migrate, suspend, resume, trim, teardown, expect, "
          + "and to accesses with 'by: device'")
      return nil
    }
    return Int(number.number)
  }

  private func pattern(_ name: String) -> OutcomePattern { name == "any" ? .any : .named(name) }

  private mutating func action(_ verb: String, _ value: Checked, number: String) -> Step.Action {
    switch verb {
    case "fill", "write", "read", "touch", "migrate", "pin", "hold", "protect", "unmap":
      return memoryAction(verb, value.object)
    case "unpin": return .unpin(name: resolve(.pin, value))
    case "release": return .release(name: resolve(.lock, value))
    case "fork", "move", "advise", "poison": return processAction(verb, value.object)
    case "exit": return .exit(process: resolve(.process, value))
    case "parallel":
      var branches: [Branch] = []
      for (index, item) in value.list.enumerated() {
        let name = item.object["name"]?.text ?? "branch-\(index + 1)"
        branches.append(branch(item.object, name, number: number))
      }
      return .parallel(branches)
    case "repeat":
      return .repeated(
        times: Int(value.object.required("times").number),
        steps(value.object.required("steps"), prefix: "\(number)."))
    case "spawn":
      let name = declare(.task, value.object.required("task"))
      return .spawn(branch(value.object, name, number: number))
    case "join": return .join(task: resolve(.task, value))
    case "arm": return .arm(failure(value.object))
    case "disarm": return .disarm(InjectionPoint(name: value.text))
    case "stall": return .arm(stall(value.object))
    case "delay": return .delay(nanoseconds: value.number)
    case "suspend": return .suspend
    case "resume": return .resume
    case "trim": return .trim
    case "teardown": return .teardown
    case "expect": return .expect(expectation(value.object))
    default: invariantFailed("the verb '\(verb)' has no reader")
    }
  }

  private mutating func branch(_ object: CheckedObject, _ name: String, number: String) -> Branch {
    Branch(name: name, steps: steps(object.required("steps"), prefix: "\(number).\(name)."))
  }

  private mutating func memoryAction(_ verb: String, _ object: CheckedObject) -> Step.Action {
    switch verb {
    case "fill": return .fill(pageSpan(object), fillSource(object), accessor(object))
    case "write":
      let bytes = object["bytes"]?.bytes ?? littleEndian(object["value"]?.number ?? 0)
      let span = byteSpan(object, at: object.required("at"), count: bytes.count)
      return .write(span, bytes, accessor(object))
    case "read": return readAction(object)
    case "touch": return .touch(pageSpan(object), write: object["write"]?.flag ?? false)
    case "migrate":
      return .migrate(
        pageSpan(object), MemorySide(rawValue: object.required("to").text) ?? .device,
        moved: object["moved"]?.comparison)
    case "pin":
      return .pin(
        name: declare(.pin, object.required("name")), pageSpan(object),
        PinKind(
          write: object["write"]?.flag ?? false, isLongTerm: object["long-term"]?.flag ?? false))
    case "hold":
      let name = declare(.lock, object.required("name"))
      let (mapping, page) = onePage(object, remedy: "hold one page, 'P0'")
      return .hold(name: name, mapping: mapping, page: page)
    case "protect":
      return .protect(pageSpan(object), protection(object.required("protection")))
    default: return .unmap(pageSpan(object))
    }
  }

  private mutating func readAction(_ object: CheckedObject) -> Step.Action {
    let by = accessor(object)
    let check: ReadCheck =
      if let bytes = object["bytes"] {
        .bytes(bytes.bytes)
      } else if let value = object["value"] {
        .bytes(littleEndian(value.number))
      } else {
        readCheck(object["data"])
      }
    guard let at = object["at"] else {
      let span = ByteSpan(pageSpan(object))
      if case .bytes(let bytes) = check {
        return .read(
          ByteSpan(
            mapping: span.mapping, offset: span.offset, count: min(bytes.count, span.count)),
          check, by)
      }
      return .read(span, check, by)
    }
    // Without bytes to compare, one word is read: the commonest unit of such tests.
    let count = if case .bytes(let bytes) = check { bytes.count } else { 8 }
    return .read(byteSpan(object, at: at, count: count), check, by)
  }

  func readCheck(_ word: Checked?) -> ReadCheck {
    switch word?.text {
    case "zeros": .zeros
    case "anything": .anything
    default: .shadow
    }
  }

  private mutating func fillSource(_ object: CheckedObject) -> FillSource {
    if let seed = object["random"] { return .random(seed: seed.number) }
    if let bytes = object["bytes"] { return .bytes(bytes.bytes) }
    if let file = object["file"] {
      guard let content = readFile(file.text) else {
        report(
          file.mark, "the file '\(file.text)' can't be read",
          remedy: "name a readable file; relative paths begin at the scenario's folder")
        return .zeros
      }
      return .file(name: file.text, content)
    }
    switch object["pattern"]?.text {
    case "page-number": return .pageNumber
    case "ones": return .ones
    case "zeros": return .zeros
    default: return .index
    }
  }

  // MARK: failures

  private mutating func failure(_ object: CheckedObject) -> FailureRequest {
    let word = object.required("point")
    guard let point = InjectionPoint(name: word.text) else {
      invariantFailed("the point '\(word.text)' was let through")
    }
    var error: KernelError?
    if let wanted = object["error"] {
      error = KernelError(name: wanted.text)
      if let error, !point.errors.contains(error) {
        let possible = point.errors.map(\.name).joined(separator: " or ")
        report(
          wanted.mark, "\(point.name) can't give \(error)",
          remedy: point.errors.isEmpty
            ? "it is a device fault without an error code; leave 'error' out"
            : "it gives \(possible)")
      }
    }
    return FailureRequest(
      point: point, when: when(object), error: error,
      isOptional: object["optional"]?.flag ?? false)
  }

  private func stall(_ object: CheckedObject) -> FailureRequest {
    let point: InjectionPoint =
      switch object.required("signal").text {
      case "late": .fenceLate
      case "wrong": .fenceWrongValue
      default: .fenceStall
      }
    return FailureRequest(point: point, when: when(object), error: nil, isOptional: false)
  }

  private func when(_ object: CheckedObject) -> FailurePlan.When {
    if let nth = object["nth"] { return .nth(nth.number) }
    if let from = object["from"] { return .from(from.number) }
    return .always
  }
}
