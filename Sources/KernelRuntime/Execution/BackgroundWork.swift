extension Kernel {
  /// Carries out a device's bulk work, such as a copy, that takes `cost` nanoseconds of model time.
  ///
  /// In simulated mode `work` runs on the machine's thread when the time has passed, which is when
  /// its effects become visible. In real-time mode it runs on a worker thread at once, overlapping
  /// the machine, and `cost` is ignored. Either way `done` is kicked afterwards.
  ///
  /// `work` may touch only memory that it was given; it must not use the kernel or any model
  /// object.
  public func perform(cost: UInt64, then done: Agent, _ work: @escaping @Sendable () -> Void) {
    switch mode {
    case .simulated:
      let finish = agent(done.name, group: .interrupts) {
        work()
        done.kick()
      }
      finish.kick(after: cost)
    case .realTime:
      inbox?.submit(work, then: done)
    }
  }
}
