import Base
import DMAFence
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau

extension Demo {
  private static let greeting = Array("written by the GPU".utf8)

  /// Everything that the demo shows, in order; the bytes at the end.
  func story() async -> [UInt8] {
    do throws(KernelError) {
      try await bringUp()
      let process = try await machine.makeProcess("demo")
      let start = try await process.space.map(
        bytes: UInt64(content.count), .readWrite, name: "payload")
      let range = VirtualRange(start: start, bytes: UInt64(content.count))
      tell("process 'demo' maps \(Quantity.sizeText(range.bytes)): \(range.pages) pages")
      try await access("the CPU fills the mapping") { () throws(AccessError) in
        try await process.space.store(start, content)
      }
      try await migrate(process, range)
      await useOnDevice(process, range)
      await touchFromCPU(process, range)
      await survivePlannedError(process, range)
      await tearDown(process, range)
      return try await access("the CPU reads everything") { () throws(AccessError) in
        try await process.space.load(start, count: content.count)
      }
    } catch {
      expect(false, "the demo ends early: \(error)")
      return []
    }
  }

  private func bringUp() async throws(KernelError) {
    try await machine.boot()
    guard let driver = machine.driver else { throw .ENODEV }
    tell(
      "\(driver.chipName) is up: \(Quantity.sizeText(driver.vramBytes)) of VRAM, "
        + "a channel on a copy engine, device memory ready")
  }

  private func migrate(_ process: UserProcess, _ range: VirtualRange) async throws(KernelError) {
    let begin = machine.kernel.now
    let result = try await process.migrateToDevice(range)
    let time = machine.kernel.now - begin
    let rate = time == 0 ? 0 : UInt64(result.moved * PageSize.bytes) * 10 / time
    tell(
      "migrated \(result.moved) of \(result.requested) pages to the device in "
        + "\(RunReport.timeText(time)) (\(rate / 10).\(rate % 10) GB/s in model time), "
        + "\(machine.svm?.dmemCounters.launches ?? 0) launches")
    expect(result.moved == range.pages, "\(result.skipped) pages stayed in RAM")
  }

  /// The GPU reads a page and writes into it, where it lies.
  private func useOnDevice(_ process: UserProcess, _ range: VirtualRange) async {
    let address = range.start + 3 * PageSize.bytes
    do throws(DeviceAccessError) {
      let bytes = try await process.deviceLoad(address, count: PageSize.bytes)
      let original = content[3 * PageSize.bytes..<4 * PageSize.bytes]
      expect(bytes.elementsEqual(original), "the GPU reads other bytes than were stored")
      tell("the GPU reads page 3 in VRAM: the bytes are those that the CPU stored")
      try await process.deviceStore(address, Self.greeting)
      tell("the GPU writes '\(String(decoding: Self.greeting, as: UTF8.self))' into page 3")
    } catch {
      expect(false, error.description)
    }
  }

  /// Loads fault, one page comes back for each, and a store puts the old bytes in place again.
  private func touchFromCPU(_ process: UserProcess, _ range: VirtualRange) async {
    let address = range.start + 3 * PageSize.bytes
    let original = Array(content[3 * PageSize.bytes..<3 * PageSize.bytes + Self.greeting.count])
    do throws(AccessError) {
      let begin = machine.kernel.now
      let bytes = try await process.space.load(address, count: Self.greeting.count)
      expect(bytes == Self.greeting, "the CPU doesn't see what the GPU wrote")
      tell(
        "the CPU loads from page 3: a fault, migrate_to_ram, "
          + "\(RunReport.timeText(machine.kernel.now - begin)); it reads what the GPU wrote")
      try await process.space.store(address, original)
      for page in 16..<32 {
        try await process.space.touch(range.start + page * PageSize.bytes, write: false)
      }
      let faults = machine.svm?.dmemCounters.faults ?? 0
      let left = machine.svm?.devicePagesInUse ?? 0
      tell("16 more pages come back by faults: \(faults) faults so far, \(left) device pages left")
    } catch {
      expect(false, error.description)
    }
  }

  /// A copy that fails in the engine costs one access a SIGBUS and loses nothing.
  private func survivePlannedError(_ process: UserProcess, _ range: VirtualRange) async {
    let page = 100
    let address = range.start + page * PageSize.bytes
    machine.kernel.failures.arm(.copyError, .nth(1))
    tell("armed: the next copy fails in the copy engine (gpu.copy_error)")
    do throws(AccessError) {
      _ = try await process.space.load(address, count: 8)
      expect(false, "the load of page \(page) succeeds although its copy failed")
    } catch {
      tell("the CPU loads from page \(page): \(error)")
    }
    machine.kernel.failures.disarm()
    let place = process.space.entry(at: address).location
    if case .device = place {
      tell("page \(page) is still on the device, and the channel lives again")
    } else {
      expect(false, "page \(page) is \(place)")
    }
    do throws(AccessError) {
      let bytes = try await process.space.load(address, count: PageSize.bytes)
      let original = content[page * PageSize.bytes..<(page + 1) * PageSize.bytes]
      expect(bytes.elementsEqual(original), "page \(page) has lost its bytes")
      tell("the CPU loads from page \(page) again: the bytes are all there")
    } catch {
      expect(false, error.description)
    }
  }

  private func tearDown(_ process: UserProcess, _ range: VirtualRange) async {
    let svm = machine.svm
    let left = svm?.devicePagesInUse ?? 0
    await machine.unbindDriver()
    tell("the driver is unbound: \(left) pages came back first")
    for (name, value) in svm?.dmemCounters.table ?? [] where value > 0 {
      say("             \(name): \(value)")
    }
    for offence in machine.audit() { expect(false, offence) }
    tell("audit of the machine: \(offences.isEmpty ? "nothing leaked" : "see above")")
  }

  private func access<T>(
    _ what: String, _ body: () async throws(AccessError) -> T
  ) async throws(KernelError) -> T {
    do throws(AccessError) {
      let result = try await body()
      tell(what)
      return result
    } catch {
      expect(false, "\(what): \(error)")
      throw .EIO
    }
  }
}
