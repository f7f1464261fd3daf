import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// Two GPUs and a process that uses both.
func withTwoGPUs(
  pages: Int, order: Order = .fifo, peers: PeerPolicy = .stay, engine: PeerEngine = .source,
  configure: (inout MachineConfiguration) -> Void = { _ in },
  sourceLocation: SourceLocation = #_sourceLocation,
  _ body: @escaping (Bench) async throws -> Void
) throws {
  try withBench(
    pages: pages, order: order, ram: 16 << 20,
    configure: { configuration in
      configuration.gpu.vramBytes = 32 << 20
      var second = GPUConfiguration()
      second.vramBytes = 32 << 20
      configuration.moreGPUs = [second]
      configuration.policy.peers = peers
      configuration.policy.peerEngine = engine
      configure(&configuration)
    }, sourceLocation: sourceLocation, body)
}

extension Bench {
  /// Pages in use on a GPU.
  func inUse(_ gpu: Int) -> Int { machine.gpus[gpu].svm?.devicePagesInUse ?? 0 }

  func counters(_ gpu: Int) -> DmemCounters {
    machine.gpus[gpu].svm?.dmemCounters ?? DmemCounters()
  }

  /// Fills pages and moves them to a GPU.
  func put(_ pages: Range<Int>, on gpu: Int) async throws {
    try await fill(pages)
    let moved = try await process.migrateToDevice(range(pages), gpu: gpu).moved
    #expect(moved == pages.count)
    #expect(inUse(gpu) == pages.count)
  }

  func arm(_ point: InjectionPoint, nth: UInt64 = 1, error: KernelError? = nil) {
    machine.kernel.failures.arm(point, .nth(nth), error: error)
  }

  /// The pages whose bytes, read by a GPU, aren't the pattern.
  func damaged(_ pages: Range<Int>, gpu: Int) async -> [Int] {
    var damaged: [Int] = []
    for page in pages {
      let bytes = try? await process.deviceLoad(address(page), count: PageSize.bytes, gpu: gpu)
      if bytes != Self.pattern(page) { damaged.append(page) }
    }
    return damaged
  }
}
