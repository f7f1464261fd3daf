public import Base
public import KernelRuntime

/// One run of a flow: what it is given, and where it says what came of it.
public final class FlowRun {
  /// The only source of order and draws.
  public let choices: any Choices
  /// Which injection points fail.
  public let failures: FailurePlan
  public let trace: Trace
  /// Steps without ``progress()`` after which a run counts as a live-lock.
  public let stepLimit: UInt64
  /// Host memory that the runs of one runner use one after the other, for machines and what else
  /// the flow makes anew each time.
  public let hostMemory: MemorySupply

  var offences: [Offence] = []
  var returned: [ReturnedError] = []
  var marks: [Mark] = []
  var coverage: Coverage
  /// Events in the trace when the last step was done: later ones come from looking at the end.
  var eventsAtEnd: Int?
  /// Where passages of injection points are written; nil but in a run that counts them.
  var passageLog: PassageLog?
  private var ownKernel: Kernel?
  private(set) var attached: [Kernel] = []
  private var endings: [() -> Void] = []
  /// Says whether somebody can still signal a fence; nil where no flow told.
  var fenceSignaller: ((_ context: UInt64, _ seqno: UInt64) -> Bool)?

  init(
    choices: any Choices, failures: FailurePlan, trace: Trace, stepLimit: UInt64,
    protocols: [ProtocolMap], hostMemory: MemorySupply
  ) {
    self.choices = choices
    self.failures = failures
    self.trace = trace
    self.stepLimit = stepLimit
    self.hostMemory = hostMemory
    coverage = Coverage(protocols)
  }

  // MARK: the world

  /// A kernel under the run's choices, made at the first use.
  public var kernel: Kernel {
    if let ownKernel { return ownKernel }
    let made = Kernel(choices: choices, failures: failures, trace: trace)
    ownKernel = made
    attach(made)
    return made
  }

  /// Puts a kernel that the flow made itself, from ``choices``, ``failures`` and ``trace``, under
  /// the kit's detectors.
  public func attach(_ kernel: Kernel) {
    kernel.stepLimit = stepLimit
    attached.append(kernel)
    if fenceSignaller != nil { watchFences() }
  }

  /// Starts a task; an error that it ends with counts as what the flow returned.
  public func task(_ name: String, _ body: @escaping () async throws(KernelError) -> Void) {
    kernel.spawn(name) { [self] in
      do throws(KernelError) {
        try await body()
        returned.append(ReturnedError(task: name, error: nil))
      } catch {
        returned.append(ReturnedError(task: name, error: error))
      }
    }
  }

  /// States what must hold when every task has come to rest.
  public func atEnd(_ check: @escaping () -> Void) { endings.append(check) }

  func runTasks() {
    do throws(RunFailure) {
      let blocked = try kernel.runUntilIdle()
      if !blocked.isEmpty { note(.deadlock(blocked)) }
    } catch {
      note(error)
    }
    eventsAtEnd = trace.events.count
    for ending in endings { ending() }
    endings = []
  }

  /// Begins the set-up of the flow's world: a search through all orders runs it in the plain order,
  /// up to ``endSetUp()``. Other strategies vary it.
  public func beginSetUp() { choices.setsUp(true) }

  /// From here on every order counts.
  public func endSetUp() { choices.setsUp(false) }

  /// Says that what runs now begins a step of the flow. Passages of injection points in different
  /// steps are never taken to be alike (``Sweep/sample``).
  public func beginStep(_ number: String) {
    passageLog?.beginStep(number, attached.last?.current)
  }

  /// Lets the flow's world go, once all that came of the run has been read: tasks that never began
  /// hold the run, and it them.
  func release() {
    for kernel in attached { kernel.abandon() }
    attached = []
    ownKernel = nil
    endings = []
    fenceSignaller = nil
  }

  // MARK: what came of it

  /// Names something that is wrong. Shortening looks for runs with an offence of the same name, so
  /// the name says what kind it is and `detail` which object and event.
  public func offend(_ name: String, _ detail: @autoclosure () -> String = "") {
    offences.append(Offence(name: name, detail: detail()))
  }

  /// Names an offence when `condition` is false.
  public func expect(
    _ condition: Bool, _ name: String, _ detail: @autoclosure () -> String = ""
  ) {
    if !condition { offend(name, detail()) }
  }

  /// Says what a step of the flow came back with.
  public func returned(_ task: String, _ error: KernelError?) {
    returned.append(ReturnedError(task: task, error: error))
  }

  /// Says what a step of a scenario came back with.
  func returned(_ step: String, _ outcome: StepOutcome) {
    returned.append(ReturnedError(task: step, outcome: outcome))
  }

  /// Says why the world stopped before its end.
  public func note(_ failure: RunFailure) {
    offences.append(contentsOf: Self.diagnose(failure))
  }

  /// Says that the run reached something.
  public func mark(_ name: String) {
    if let index = marks.firstIndex(where: { $0.name == name }) {
      marks[index].count += 1
    } else {
      marks.append(Mark(name: name, count: 1))
    }
  }

  /// Moves an object of a protocol to a state; counts the state and the edge that led there.
  ///
  /// An edge that the map doesn't have is an offence.
  public func enter(_ state: Int, of map: Int = 0, object: UInt64 = 0) {
    if let stranger = coverage.enter(state, of: map, object: object) {
      offend("protocol.unknown-edge", stranger)
    }
  }

  /// Tells the detectors who can signal fences: the answer is true while somebody still can.
  ///
  /// It is asked each time that nothing can run, about each fence that a task sleeps on.
  public func canSignalFence(_ answer: @escaping (_ context: UInt64, _ seqno: UInt64) -> Bool) {
    fenceSignaller = answer
    watchFences()
  }
}
