import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau

extension Bench {
  /// Microseconds of one CPU fault that `migrate_to_ram` serves.
  func fault() throws(KernelError) -> Measurement {
    progress("CPU faults")
    var configuration = MachineConfiguration()
    let room = (UInt64(plan.faults * PageSize.bytes) >> 19 + 64) << 20
    configuration.ramBytes = room
    configuration.gpu.vramBytes = room
    let count = plan.faults
    let samples = try Self.run(try Machine(configuration)) { machine async throws(KernelError) in
      try await machine.boot()
      let process = try await machine.makeProcess("bench")
      let bytes = UInt64(count * PageSize.bytes)
      let start = try await process.space.map(bytes: bytes, .readWrite, name: "faults")
      let clock = ContinuousClock()
      do throws(AccessError) {
        for page in 0..<count {
          try await process.space.touch(start + page * PageSize.bytes, write: true)
        }
      } catch {
        throw .ENOMEM
      }
      let moved = try await process.migrateToDevice(VirtualRange(start: start, bytes: bytes))
      guard moved.moved == count else { throw .EBUSY }
      var samples: [Double] = []
      samples.reserveCapacity(count)
      do throws(AccessError) {
        for page in 0..<count {
          let begin = clock.now
          try await process.space.touch(start + page * PageSize.bytes, write: false)
          samples.append(Self.seconds(clock.now - begin) * 1e6)
        }
      } catch {
        throw .EIO
      }
      return samples
    }
    return Measurement("CPU fault, one page", unit: "us", goal: .atMost(3), samples: samples)
  }

  /// Microseconds from nothing to nothing: a machine, a page there and back, an audit.
  func smallMachine() throws(KernelError) -> Measurement {
    progress("small machines")
    var samples: [Double] = []
    for _ in 0..<plan.machines {
      let time = try Self.seconds { () throws(KernelError) in
        let machine = try Machine(.tiny)
        let offences = try Self.run(machine) { machine async throws(KernelError) in
          try await machine.boot()
          let process = try await machine.makeProcess("small")
          let page = UInt64(PageSize.bytes)
          let start = try await process.space.map(bytes: page, .readWrite, name: "page")
          do throws(AccessError) {
            try await process.space.touch(start, write: true)
          } catch {
            throw .ENOMEM
          }
          let range = VirtualRange(start: start, bytes: page)
          _ = try await process.migrateToDevice(range)
          _ = try await process.migrateToRAM(range)
          let offences = machine.audit()
          await machine.shutdown()
          return offences
        }
        guard offences.isEmpty else { throw .EIO }
      }
      samples.append(time * 1e6)
    }
    return Measurement(
      "machine of 1 MiB, whole life", unit: "us", goal: .atMost(100), samples: samples)
  }

  /// Host memory that a booted machine of 64 GiB of VRAM and 16 GiB of RAM occupies.
  func untouchedMemory() throws(KernelError) -> Measurement {
    progress("untouched memory")
    let before = Self.residentBytes()
    var configuration = MachineConfiguration()
    configuration.ramBytes = 16 << 30
    configuration.gpu.vramBytes = 64 << 30
    let machine = try Machine(configuration)
    try Self.run(machine) { machine async throws(KernelError) in try await machine.boot() }
    let used = Double(max(0, Self.residentBytes() - before)) / Double(1 << 20)
    return Measurement(
      "64 GiB VRAM, 16 GiB RAM, untouched", unit: "MiB", goal: .atMost(64), samples: [used],
      note: "resident host memory of the machine after bring-up")
  }

  /// SOURCE: proc(5), /proc/self/statm: the second number is resident pages.
  private static func residentBytes() -> Int {
    let text = String(decoding: ScenarioFile.read("/proc/self/statm") ?? [], as: UTF8.self)
    let fields = text.split(separator: " ")
    guard fields.count > 1, let pages = Int(fields[1]) else { return 0 }
    return pages * PageSize.bytes
  }
}
