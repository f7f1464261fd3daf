import Base
import KernelRuntime
import LinuxMM
import Testing

/// A device's faults in a range whose missing pages a handler in user space fills.
@Suite struct HMMUserfaultTests {
  @Test("hmm-tests: userfaultfd_read", arguments: HMMFixture.kinds)
  func userfaultfdRead(kind: DevicePagemap.Kind) throws {
    try HMMFixture.run(kind) { fixture in
      let range = try await fixture.map(8, filled: false)
      let watch = try fixture.space.openUserfault()
      try await watch.register(range, .missing)
      var served = 0
      let handler = fixture.machine.kernel.spawn("handler") {
        do {
          while case .pageFault(let address, _, _)? = await watch.read() {
            let page = Int((address - range.start) >> 12)
            _ = try await watch.copy(address.pageBase, [UInt8](pages: [TestMachine.word(page)]))
            served += 1
          }
        } catch { Issue.record("\(error)") }
      }
      fixture.expectPattern(try await fixture.mirror.read(range), pages: 0..<8)
      #expect(served == 8)
      #expect(fixture.mirror.faults == 1)
      await watch.close()
      await handler.join()
    }
  }

  /// A driver that keeps the lock can't wait for the handler: the page can't be had.
  @Test func rangeFaultUnderTheLock_isEFAULT_andNobodyIsAsked() throws {
    try HMMFixture.run(.devicePrivate) { fixture in
      let space = fixture.space
      let range = try await fixture.map(1, filled: false)
      let watch = try space.openUserfault()
      try await watch.register(range, .missing)
      let notifier = try space.insertNotifier(range, fixture.mirror)
      var request = HMMRange(
        notifier: notifier, sequence: await notifier.readBegin(), range: range, owner: nil,
        defaultFlags: HMMPFN.requestFault)
      await space.mmapLock.lockShared()
      await expectThrows(KernelError.EFAULT) { try await space.hmmRangeFault(&request) }
      space.mmapLock.unlockShared()
      #expect(watch.poll() == nil)
      await notifier.remove()
      await watch.close()
    }
  }
}
