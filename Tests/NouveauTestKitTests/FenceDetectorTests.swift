import Base
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import NouveauTestKit
import Testing

/// A wait that only a time-out can end is found on the project's own machine, and nothing else is
/// taken for one.
@Suite struct FenceDetectorTests {
  /// Fills four pages and moves them to the device, whose channel may be off by then.
  private struct MigrationFlow: Flow {
    let name = "migration"
    let switchesOff: Bool

    func run(_ run: FlowRun) throws {
      var request = TargetRequest(plan: MachinePlan())
      request.choices = run.choices
      request.failures = run.failures
      request.trace = run.trace
      request.hostMemory = run.hostMemory
      let target = try MachineTarget(request)
      run.attach(target.kernel)
      run.canSignalFence { target.canSignalFence(context: $0, seqno: $1) }
      let machine = target.machine
      try target.run {
        do throws(KernelError) {
          try await machine.boot()
          let process = try await machine.makeProcess("app")
          let bytes = UInt64(4 * PageSize.bytes)
          let start = try await process.space.map(bytes: bytes, .readWrite)
          if switchesOff { Self.switchOff(machine) }
          let range = VirtualRange(start: start, bytes: bytes)
          run.returned("migration", try await process.migrateToDevice(range).error)
        } catch {
          run.returned("migration", error)
        }
      }
    }

    /// Takes the copy channel off its runlist behind the driver's back.
    private static func switchOff(_ machine: Machine) {
      guard let channel = machine.driver?.copyChannel else { return }
      // SOURCE: dev_fifo.ref.txt: NV_PCCSR_CHANNEL, its ENABLE_CLR.
      machine.gpu.registers.write32(1 << 11, at: 0x80_0004 + 8 * channel.id)
    }
  }

  @Test func channelThatNeverRuns_isFound() throws {
    let outcome = FlowRunner(MigrationFlow(switchesOff: true)).replay(Schedule(), isStrict: false)
    let offence = try #require(outcome.offences.first)
    #expect(offence.name == "fence.nobody-signals")
    #expect(offence.detail.hasPrefix("main waits for fence "))
    #expect(offence.detail.hasSuffix(", which nobody can signal"))
    #expect(outcome.offences.count { $0 == offence } == 1, "told once")
    let sound = FlowRunner(MigrationFlow(switchesOff: false))
    #expect(sound.replay(Schedule(), isStrict: false).isClean)
  }

  /// Fences that come late, are lost, or end with their channel: the driver has an answer to each.
  @Test(arguments: [
    InjectionPoint.fenceLate, .fenceStall, .fenceWrongValue, .interruptLost, .interruptEarly,
    .copyError, .copyFault, .pbdmaError, .engineHang, .deviceLost,
  ])
  func failureOfTheDevice_isNotTakenForIt(_ point: InjectionPoint) throws {
    let runner = FlowRunner(MigrationFlow(switchesOff: false))
    for nth in 1...3 {
      let failure = Injection(point, nth: UInt64(nth))
      let outcome = runner.replay(Schedule(), injections: [failure], isStrict: false)
      #expect(outcome.offences.isEmpty, "\(failure): \(outcome.offences)")
    }
  }
}
