import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau

/// A machine with one mapping, for migrations of one size.
struct BulkRig {
  let machine: Machine
  let process: UserProcess
  let range: VirtualRange

  init(
    bytes: Int, mode: Kernel.Mode, movesBytes: Bool = true, profile: String? = nil
  ) throws(KernelError) {
    var configuration = MachineConfiguration()
    configuration.mode = mode
    if let profile, let chip = GPUProfiles.chip(named: profile) {
      configuration.gpu.chip = chip
    }
    configuration.gpu.movesBytes = movesBytes
    // Page tables, and batches in flight with both copies of a page, need room beside the bytes.
    let room = ((UInt64(bytes) + UInt64(bytes) / 8) >> 20 + 64) << 20
    configuration.ramBytes = room
    configuration.gpu.vramBytes = room
    configuration.policy.emptyChunksKept = .max
    let machine = try Machine(configuration)
    self.machine = machine
    (process, range) = try Bench.run(machine) { machine async throws(KernelError) in
      try await machine.boot()
      let process = try await machine.makeProcess("bench")
      let start = try await process.space.map(bytes: UInt64(bytes), .readWrite, name: "bulk")
      for page in 0..<bytes / PageSize.bytes {
        do throws(AccessError) {
          try await process.space.store(start + page * PageSize.bytes, [1, 2, 3, 4])
        } catch {
          throw .ENOMEM
        }
      }
      return (process, VirtualRange(start: start, bytes: UInt64(bytes)))
    }
  }

  /// The machine's own clock, in nanoseconds.
  var now: UInt64 { machine.kernel.now }

  /// Seconds there and back.
  func round() throws(KernelError) -> (there: Double, back: Double) {
    let process = process
    let range = range
    return try Bench.run(machine) { _ async throws(KernelError) in
      let clock = ContinuousClock()
      let begin = clock.now
      let result = try await process.migrateToDevice(range)
      let middle = clock.now
      let returned = try await process.migrateToRAM(range)
      let end = clock.now
      if let error = result.error { throw error }
      // Pages that stayed would make the figure a lie.
      guard result.moved == range.pages, returned == range.pages else { throw .EBUSY }
      return (Bench.seconds(middle - begin), Bench.seconds(end - middle))
    }
  }
}

extension Bench {
  /// Bandwidth there and back, beside memcpy of the same bytes between the same kinds of memory.
  func bulk() throws(KernelError) -> [Measurement] {
    progress("memcpy")
    let bytes = plan.bulkBytes
    let gigabytes = Double(bytes) / 1e9
    let whole = try memcpySeconds(bytes, piece: bytes, samples: plan.bulkSamples)
    let memcpy = Measurement("memcpy", unit: "GB/s", samples: whole.map { gigabytes / $0 })
    let batches = try memcpySeconds(bytes, piece: Self.batch, samples: plan.bulkSamples)
    let pieces = Measurement(
      "memcpy, 2 MiB at a time", unit: "GB/s", samples: batches.map { gigabytes / $0 },
      note: "as much as a batch; a C library may copy longer pieces past the caches")
    var rows = [memcpy, pieces]
    for mode in [Kernel.Mode.simulated, .realTime] {
      progress("bulk migration, \(mode.rawValue)")
      let rig = try BulkRig(bytes: bytes, mode: mode)
      _ = try rig.round()
      var there: [Double] = []
      var back: [Double] = []
      for _ in 0..<plan.bulkSamples {
        let (a, b) = try rig.round()
        there.append(gigabytes / a)
        back.append(gigabytes / b)
      }
      for (name, samples) in [("to device", there), ("back", back)] {
        let title = "bulk \(name), \(mode == .simulated ? "simulated" : "real time")"
        rows.append(Measurement(title, unit: "GB/s", samples: samples))
        rows.append(
          Measurement(
            "  as a part of memcpy", unit: "", goal: mode == .realTime ? .atLeast(0.8) : .none,
            samples: samples.map { $0 / memcpy.median }))
        rows.append(
          Measurement(
            "  as a part of that in pieces", unit: "",
            samples: samples.map { $0 / pieces.median }))
      }
    }
    return rows
  }

  /// Bytes of a batch of the driver's policy, 512 pages.
  private static let batch = 512 * PageSize.bytes

  /// Seconds of copying `bytes` from one mapping to another, so many with each call; page tables of
  /// the host warm.
  private func memcpySeconds(
    _ bytes: Int, piece: Int, samples: Int
  ) throws(KernelError) -> [Double] {
    let source = try MappedMemory(count: bytes)
    let target = try MappedMemory(count: bytes)
    source.fill(1, at: 0, length: bytes)
    target.fill(2, at: 0, length: bytes)
    return (0..<samples).map { _ in
      Self.seconds {
        for place in stride(from: 0, to: bytes, by: piece) {
          target.copy(from: source, at: place, to: place, length: min(piece, bytes - place))
        }
      }
    }
  }

  /// What a page costs beside its bytes, there and back averaged: the device does everything but
  /// move the bytes (``GPUConfiguration/movesBytes``).
  func bookkeeping() throws(KernelError) -> [Measurement] {
    var rows: [Measurement] = []
    for pages in plan.curve {
      progress("bookkeeping of \(pages) pages")
      // Small sizes are repeated, so that a sample lasts long enough for the clock.
      let rounds = max(1, min(64, 65_536 / pages))
      let rig = try BulkRig(
        bytes: pages * PageSize.bytes, mode: .simulated, movesBytes: false)
      _ = try rig.round()
      var samples: [Double] = []
      for _ in 0..<plan.bulkSamples {
        var total = 0.0
        for _ in 0..<rounds {
          let (there, back) = try rig.round()
          total += there + back
        }
        samples.append(total / Double(rounds) / 2 / Double(pages) * 1e9)
      }
      rows.append(
        Measurement(
          "bookkeeping, \(pages) pages", unit: "ns/page", goal: .atMost(60), samples: samples))
    }
    return rows
  }
}
