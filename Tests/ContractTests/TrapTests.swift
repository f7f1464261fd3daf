import Base
import DMAFence
import KernelRuntime
import LinuxMM
import Testing

/// Breaches that end the program; those of page counts, page locks and dropped migrations are with
/// the tests of LinuxMM.
@Suite struct TrapTests {
  private static func fence() -> (FenceContexts, Fence) {
    let kernel = Kernel(choices: FIFOChoices())
    let contexts = FenceContexts(kernel)
    return (contexts, Fence(kernel, operations: Plain(), context: contexts.allocate(), seqno: 1))
  }

  @Test func secondError_traps() async {
    await #expect(processExitsWith: .failure) {
      let (_, fence) = Self.fence()
      fence.setError(.EIO)
      fence.setError(.ENODEV)
    }
  }

  @Test func chainInAChain_traps() async {
    await #expect(processExitsWith: .failure) {
      let (contexts, fence) = Self.fence()
      let chain = FenceChain(contexts, after: nil, fence, seqno: 1)
      _ = FenceChain(contexts, after: nil, chain, seqno: 2)
    }
  }

  @Test func devicePageFreedTwice_traps() async {
    await #expect(processExitsWith: .failure) {
      let (mm, page) = try Self.devicePage()
      mm.unlock(page)
      mm.put(page)
      mm.put(page)
    }
  }

  @Test func devicePageFreedWhileLocked_traps() async {
    await #expect(processExitsWith: .failure) {
      let (mm, page) = try Self.devicePage()
      mm.put(page)
    }
  }

  @Test func evenSequence_traps() async {
    await #expect(processExitsWith: .failure) {
      let kernel = Kernel(choices: FIFOChoices())
      let mm = try MemoryManager(
        kernel, MemoryConfiguration(ramBytes: 1 << 20, devicePhysicalBytes: 1 << 20))
      let space = try mm.createAddressSpace("p")
      let notifier = try space.insertNotifier(.user, Deaf())
      notifier.setSequence(2)
    }
  }

  /// What the traps above have in common: without the breach nothing ends.
  @Test func soundUse_doesNotTrap() throws {
    let (contexts, fence) = Self.fence()
    fence.setError(.EIO)
    let chain = FenceChain(contexts, after: nil, fence, seqno: 1)
    #expect(!chain.isSignaled)
    let (mm, page) = try Self.devicePage()
    mm.unlock(page)
    mm.put(page)
    #expect(mm.referenceCount(page) == 0)
  }

  private final class Plain: FenceOperations {
    let driverName = "test"
    let timelineName = "test"
  }

  private final class Deaf: IntervalNotifierOperations {
    func invalidate(
      _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
    ) async -> Bool { true }
  }

  private final class Operations: DevicePagemapOperations {
    func pageFree(_ pfn: PFN) {}
    func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome { .sigbus(.ENODEV) }
  }

  /// A device page that has just been handed out: locked, with one reference.
  private static func devicePage() throws -> (MemoryManager, PFN) {
    let kernel = Kernel(choices: FIFOChoices())
    let mm = try MemoryManager(
      kernel, MemoryConfiguration(ramBytes: 1 << 20, devicePhysicalBytes: 1 << 20))
    let range = try mm.requestFreeMemRegion(bytes: 64 << 10, name: "device")
    try mm.memremap(
      DevicePagemap(
        kind: .devicePrivate, range: range, owner: PagemapOwner("test"), operations: Operations()))
    mm.initDevicePage(range.start)
    return (mm, range.start)
  }
}
