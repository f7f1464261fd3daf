import Base
import KernelRuntime

extension RunSession {
  /// Runs steps in order until one does not hold.
  func run(_ steps: [Step]) async {
    for step in steps {
      if isStopped { return }
      await run(step)
    }
  }

  private func run(_ step: Step) async {
    stepCount += 1
    flow?.beginStep(step.number)
    observer?(.began(step))
    var outcome = StepOutcome.success
    do throws(OperationFailure) {
      try await perform(step)
    } catch {
      outcome = error.outcome
      Self.count(&errors, outcome.name)
    }
    observer?(.ended(step, outcome))
    if !step.outcomes.contains(where: { $0.matches(outcome) }) {
      if isTolerant {
        flow?.returned(step.title, outcome)
        return
      }
      let expected = step.outcomes.map(\.description).joined(separator: " or ")
      fail(step, expected: expected, got: outcome.description)
    }
  }

  private func perform(_ step: Step) async throws(OperationFailure) {
    switch step.action {
    case .fill(let pages, let source, let by):
      let span = ByteSpan(pages)
      try await store(span, fillBytes(step, source, span), by, step.gpu)
    case .write(let span, let bytes, let by): try await store(span, bytes, by, step.gpu)
    case .read(let span, let check, let by): try await read(step, span, check, by)
    case .touch(let span, let write): try await target.touch(span, write: write)
    case .migrate(let span, let side, let moved):
      let count = try await migrate(step, span, to: side)
      if let moved, !moved.holds(for: UInt64(count)), !isTolerant {
        fail(step, expected: "\(moved) pages moved", got: "\(count)")
      }
    case .protect(let span, let protection): try await target.protect(span, protection)
    case .unmap(let span): try await target.unmap(span)
    case .exit(let process): try await target.exit(process: process)
    case .fork, .move, .advise, .poison: try await processStep(step.action)
    case .delay(let nanoseconds): await target.kernel.sleep(nanoseconds)
    case .suspend, .resume, .trim, .teardown: try await deviceStep(step.action, step.gpu)
    case .expect(let expectation):
      if expectation.noLeaks { await target.quiesce() }
      check(expectation, step)
    case .pin, .unpin, .hold, .release: try await reference(step.action)
    case .parallel, .repeated, .spawn, .join, .arm, .disarm: await control(step)
    }
  }

  private func migrate(_ step: Step, _ span: PageSpan, to side: MemorySide)
    async throws(OperationFailure) -> Int
  {
    guard explains else {
      guard let gpu = step.gpu else { return try await target.migrate(span, to: side) }
      var nothing: [StayedPages] = []
      return try await target.migrate(span, to: side, gpu: gpu, explains: false, &nothing)
    }
    var stayed: [StayedPages] = []
    var moved: Int?
    defer {
      migrations.append(
        MigrationNote(
          step: step.number, title: step.title, span: span, moved: moved, stayed: stayed))
    }
    let count =
      if let gpu = step.gpu {
        try await target.migrate(span, to: side, gpu: gpu, explains: true, &stayed)
      } else {
        try await target.migrate(span, to: side, stayed: &stayed)
      }
    moved = count
    return count
  }

  /// A step about one GPU, or about all.
  private func deviceStep(_ action: Step.Action, _ gpu: Int?) async throws(OperationFailure) {
    switch (action, gpu) {
    case (.suspend, let gpu?): try await target.suspend(gpu: gpu)
    case (.suspend, nil): try await target.suspend()
    case (.resume, let gpu?): try await target.resume(gpu: gpu)
    case (.resume, nil): try await target.resume()
    case (.trim, let gpu?): try await target.trim(gpu: gpu)
    case (.trim, nil): try await target.trim()
    case (.teardown, let gpu?): try await target.teardown(gpu: gpu)
    case (.teardown, nil): try await target.teardown()
    default: invariantFailed("no step of a device")
    }
  }

  // MARK: bytes

  private func store(_ span: ByteSpan, _ bytes: [UInt8], _ by: Accessor, _ gpu: Int?)
    async throws(OperationFailure)
  {
    let shadow = shadow(span.mapping)
    let write = shadow.beginWrite(span.range, bytes)
    do throws(OperationFailure) {
      if let gpu {
        try await target.store(span, bytes, byGPU: gpu)
      } else {
        try await target.store(span, bytes, by: by)
      }
      shadow.end(write, succeeded: true)
    } catch {
      shadow.end(write, succeeded: false)
      throw error
    }
  }

  private func read(_ step: Step, _ span: ByteSpan, _ check: ReadCheck, _ by: Accessor)
    async throws(OperationFailure)
  {
    let shadow = shadow(span.mapping)
    let read = shadow.beginRead(span.range)
    let got: [UInt8]
    do throws(OperationFailure) {
      got =
        if let gpu = step.gpu {
          try await target.load(span, byGPU: gpu)
        } else {
          try await target.load(span, by: by)
        }
    } catch {
      shadow.cancel(read)
      throw error
    }
    let unexplained = shadow.end(read, got: got)
    switch isTolerant && check != .anything ? .shadow : check {
    case .anything: return
    case .shadow:
      if let bad = unexplained {
        fail(
          step, expected: Self.byte(bad.expected, at: bad.offset),
          got: Self.byte(bad.got, at: bad.offset))
      }
    case .zeros: compare(step, span, got, [UInt8](repeating: 0, count: span.count))
    case .bytes(let bytes): compare(step, span, got, bytes)
    }
  }

  /// Reports the first byte that differs.
  func compare(_ step: Step, _ span: ByteSpan, _ got: [UInt8], _ expected: [UInt8]) {
    if got.hasBytes(of: expected) { return }
    for index in expected.indices {
      let byte = index < got.count ? got[index] : nil
      guard byte != expected[index] else { continue }
      fail(
        step, expected: Self.byte(expected[index], at: span.offset + index),
        got: byte.map { Self.byte($0, at: span.offset + index) } ?? "only \(got.count) bytes")
      return
    }
  }

  static func byte(_ byte: UInt8, at offset: Int) -> String {
    let hex = String(byte, radix: 16)
    return "0x\(hex.count < 2 ? "0" : "")\(hex) at \(MappingOffset(bytes: offset))"
  }

  // MARK: references and locks

  private func reference(_ action: Step.Action) async throws(OperationFailure) {
    switch action {
    case .pin(let name, let span, let kind):
      pins.append((name, try await target.pin(span, kind)))
    case .unpin(let name):
      let handle = try take(name, from: &pins)
      try await target.unpin(handle)
    case .hold(let name, let mapping, let page):
      locks.append((name, try await target.hold(mapping: mapping, page: page)))
    case .release(let name):
      let handle = try take(name, from: &locks)
      try await target.release(handle)
    default: invariantFailed("no reference step")
    }
  }

  /// The handle under `name`; EBADF when the step that makes it has not succeeded yet.
  private func take(_ name: String, from table: inout [(name: String, handle: Int)])
    throws(OperationFailure) -> Int
  {
    guard let index = table.firstIndex(where: { $0.name == name }) else {
      throw OperationFailure(.EBADF)
    }
    return table.remove(at: index).handle
  }

  // MARK: tasks and failures

  private func control(_ step: Step) async {
    switch step.action {
    case .parallel(let branches):
      let tasks = branches.map { branch in
        target.kernel.spawn(branch.name) { [unowned self] in await run(branch.steps) }
      }
      for task in tasks { await task.join() }
    case .repeated(let times, let steps):
      for _ in 0..<times where !isStopped { await run(steps) }
    case .spawn(let branch):
      let task = target.kernel.spawn(branch.name) { [unowned self] in await run(branch.steps) }
      tasks.append((branch.name, task))
    case .join(let name):
      for (task, handle) in tasks where task == name { await handle.join() }
    case .arm(let request):
      target.kernel.failures.arm(request.point, request.when, error: request.error)
      armed.append((request, step))
    case .disarm(let point):
      settle(point)
      target.kernel.failures.disarm(point)
    default: invariantFailed("no control step")
    }
  }
}
