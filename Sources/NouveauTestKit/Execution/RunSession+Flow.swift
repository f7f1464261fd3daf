import Base
import KernelRuntime

// The end of a run that the explorer asked for.
extension RunSession {
  /// Long enough for every late fence and time-out of the driver, in nanoseconds.
  private static let settlingTime: UInt64 = 60_000_000_000

  /// Of each mapping so many pages are brought back one by one, each by a fault of its own; those
  /// behind them come back in bulk first, so that both ways are tried and a large mapping doesn't
  /// take a thousand faults that say the same.
  private static let pagesReadOneByOne = 64

  /// Failures after which bytes may be gone for good: the device or its memory is broken.
  private static let losingPoints: [InjectionPoint] = [.deviceLost, .eccPoison]

  /// Compares every page where it lies with the shadow copy, without moving it.
  func checkBytesInPlace() {
    for (name, shadow) in shadows {
      let pages = shadow.byteCount / PageSize.bytes
      for page in 0..<pages {
        guard let got = target.peek(mapping: name, page: page) else { continue }
        let start = page * PageSize.bytes
        if shadow.holds(got, at: start) { continue }
        compareAtEnd(shadow, shadow.beginRead(start..<start + PageSize.bytes), got, name)
      }
    }
  }

  /// After a failure that was injected: nothing fails any more, and then every byte must be there
  /// or be lost by a cause that loses bytes, the audit must hold, and the driver must unbind clean.
  func endAfterFailure() async {
    target.kernel.failures.silence()
    // A resume that failed leaves the device asleep and can be repeated. It refuses a device that
    // is awake; and if it fails for another reason, the reads below say so.
    _ = try? await target.resume()
    await target.kernel.sleep(Self.settlingTime)
    for (name, shadow) in shadows { await readEveryPage(name, shadow) }
    await auditAtEnd()
    // A pin or lock that the scenario keeps would make the driver wait for ever, and a page that
    // can't be read any more keeps it bound.
    guard pins.isEmpty && locks.isEmpty && !isStopped && !mayLose else { return }
    do throws(OperationFailure) {
      try await target.teardown()
      for (name, shadow) in shadows { await readEveryPage(name, shadow) }
      await auditAtEnd()
    } catch {
      // The driver is gone already.
      return
    }
  }

  /// Bytes may be gone: an access that says so is right.
  var mayLose: Bool {
    hasPoisoned
      || target.kernel.failures.rules.contains { rule in
        rule.isPinned && rule.strikes > 0 && Self.losingPoints.contains(rule.point)
      }
  }

  private func readEveryPage(_ name: String, _ shadow: ShadowCopy) async {
    let count = shadow.byteCount / PageSize.bytes
    let first = min(count, Self.pagesReadOneByOne)
    await readPages(0..<first, name, shadow)
    guard first < count else { return }
    // What can't be brought back so, as a page of another GPU, the reads ask for.
    _ = try? await target.migrate(
      PageSpan(mapping: name, pages: PageRange(first, count - 1)), to: .ram)
    await readPages(first..<count, name, shadow)
  }

  private func readPages(_ pages: Range<Int>, _ name: String, _ shadow: ShadowCopy) async {
    for page in pages {
      let place = target.location(mapping: name, page: page)
      if place == .none || place == .zero { continue }
      let start = page * PageSize.bytes
      let read = shadow.beginRead(start..<start + PageSize.bytes)
      do throws(OperationFailure) {
        let got = try await target.load(
          ByteSpan(mapping: name, offset: start, count: PageSize.bytes), by: .cpu)
        compareAtEnd(shadow, read, got, name)
      } catch {
        shadow.cancel(read)
        checkLoss(name, page, place, error.outcome)
      }
    }
  }

  private func compareAtEnd(
    _ shadow: ShadowCopy, _ read: ShadowCopy.Read, _ got: [UInt8], _ name: String
  ) {
    guard let bad = shadow.end(read, got: got) else { return }
    failAtEnd(
      "bytes of \(name)", expected: Self.byte(bad.expected, at: bad.offset),
      got: Self.byte(bad.got, at: bad.offset))
  }

  private func checkLoss(
    _ name: String, _ page: Int, _ place: PageLocation, _ outcome: StepOutcome
  ) {
    // The scenario may have taken the right to read away.
    if case .signal(.SIGSEGV, _) = outcome { return }
    flow?.returned("P\(page) of \(name) at the end", outcome)
    if mayLose { return }
    failAtEnd(
      "reading P\(page) of \(name) after the failure", expected: "its bytes",
      got: "\(outcome), with the page in \(place.rawValue)")
  }
}
