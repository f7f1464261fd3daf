import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import NouveauTestKit

#if DEBUG
  /// A bulk migration, stores and loads by the CPU, and accesses by the GPU, all at once on one
  /// small machine; afterwards a second migration with nobody in its way, and a look at every byte.
  ///
  /// With a defect put back, the same flow on a driver that has it.
  struct DeviceMemoryFlow: Flow {
    let defect: Defect?
    /// Failures are part of the plan: then accesses and batches may fail, but no byte may be lost.
    let expectsFailures: Bool

    var name: String { "device memory" + (defect.map { " with \($0)" } ?? "") }

    static let pages = 8

    init(_ defect: Defect? = nil, expectsFailures: Bool = false) {
      self.defect = defect
      self.expectsFailures = expectsFailures
    }

    func run(_ run: FlowRun) throws {
      var configuration = MachineConfiguration.tiny
      configuration.choices = run.choices
      configuration.failures = run.failures
      configuration.policy.batchPages = 4
      configuration.stepLimit = run.stepLimit
      let machine = try Machine(configuration)
      run.attach(machine.kernel)
      let world = World(machine, run, expectsFailures: expectsFailures)
      try machine.run { _ in await world.setUp() }
      guard run.expect(world.isReady) else { return }
      machine.svm?.dmem.defect = defect
      world.spawnRace()
      let blocked = try machine.kernel.runUntilIdle()
      run.expect(blocked.isEmpty, "race.blocked", blocked.description)
      guard blocked.isEmpty else { return }
      run.failures.silence()
      try machine.run { _ in await world.settle() }
      audit(machine, run, "before")
      try machine.run { await $0.shutdown() }
      try machine.kernel.runUntilIdle()
      audit(machine, run, "after")
    }

    private func audit(_ machine: Machine, _ run: FlowRun, _ when: String) {
      for offence in machine.audit() {
        let kind = offence.prefix { $0 != ":" }
        run.offend("audit.\(kind)", "\(when) shutdown: \(offence)")
      }
    }
  }

  extension FlowRun {
    fileprivate func expect(_ condition: Bool) -> Bool {
      if !condition { offend("setup.failed") }
      return condition
    }
  }

  /// The machine of one run with its process and the kit's own copy of what the pages hold.
  private final class World {
    let machine: Machine
    let run: FlowRun
    let expectsFailures: Bool
    var process: UserProcess?
    var start = VirtualAddress(0)
    var isReady = false
    /// What page by page the first word must be; more than one value while a store may have failed.
    var expected: [[UInt8]] = (0..<DeviceMemoryFlow.pages).map { [UInt8($0 + 1)] }

    init(_ machine: Machine, _ run: FlowRun, expectsFailures: Bool) {
      self.machine = machine
      self.run = run
      self.expectsFailures = expectsFailures
    }

    func address(_ page: Int) -> VirtualAddress { start + page * PageSize.bytes }
    var range: VirtualRange { VirtualRange(start: start, pages: DeviceMemoryFlow.pages) }

    func setUp() async {
      do {
        try await machine.boot()
        let process = try await machine.makeProcess("p")
        let bytes = UInt64(DeviceMemoryFlow.pages * PageSize.bytes)
        start = try await process.space.map(bytes: bytes, .readWrite)
        for page in 0..<DeviceMemoryFlow.pages {
          try await process.space.store(address(page), [UInt8(page + 1)])
        }
        self.process = process
        isReady = true
      } catch {
        run.offend("setup.failed", "\(error)")
      }
    }

    func spawnRace() {
      task("mover") { process in
        let result = try await process.migrateToDevice(self.range)
        if let error = result.error { throw error }
      }
      task("cpu") { process in
        try await self.store(2, 0x82) { address, bytes in
          try await process.space.store(address, bytes)
        }
        _ = try await process.space.load(self.address(5), count: 1)
        try await self.store(6, 0x86) { address, bytes in
          try await process.space.store(address, bytes)
        }
      }
      task("gpu") { process in
        try await self.store(1, 0x91) { address, bytes in
          try await process.deviceStore(address, bytes)
        }
        _ = try await process.deviceLoad(self.address(5), count: 1)
        try await self.store(1, 0x92) { address, bytes in
          try await process.deviceStore(address, bytes)
        }
        try await self.store(3, 0x93) { address, bytes in
          try await process.deviceStore(address, bytes)
        }
      }
      task("back") { process in _ = try await process.migrateToRAM(self.range) }
    }

    private func task(_ name: String, _ body: @escaping (UserProcess) async throws -> Void) {
      guard let process else { return }
      machine.kernel.spawn(name) { [self] in
        do {
          try await body(process)
          run.returned(name, nil)
        } catch {
          run.returned(name, error as? KernelError ?? .EFAULT)
          if !expectsFailures { run.offend("\(name).failed", "\(error)") }
        }
      }
    }

    /// A store, entered into the copy; one that fails may have left either value.
    private func store(
      _ page: Int, _ value: UInt8,
      _ body: (VirtualAddress, [UInt8]) async throws -> Void
    ) async throws {
      let before = expected[page]
      expected[page] = before + [value]
      try await body(address(page), [value])
      expected[page] = [value]
    }

    func settle() async {
      guard let process else { return }
      do {
        let here = onDevice
        let result = try await process.migrateToDevice(range)
        run.expect(
          result.error == nil && result.moved + here == DeviceMemoryFlow.pages, "settle.not-moved",
          "\(result.moved) moved, \(here) were there, error \(String(describing: result.error))")
        for page in 0..<DeviceMemoryFlow.pages {
          let byte = try await process.space.load(address(page), count: 1)[0]
          run.expect(
            expected[page].contains(byte), "bytes.lost",
            "page \(page) holds \(byte), expected \(expected[page])")
        }
      } catch {
        run.offend("settle.failed", "\(error)")
      }
    }

    private var onDevice: Int {
      (0..<DeviceMemoryFlow.pages).count { page in
        guard let process else { return false }
        if case .device = process.space.entry(at: address(page)).location { return true }
        return false
      }
    }
  }
#endif
