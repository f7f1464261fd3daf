import Base
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau
import Testing

/// Machines that go as they stand, one after the other on the same host memory, as the explorer
/// makes them.
@Suite struct AbandonTests {
  /// RAM and its metadata, VRAM, coherent memory and the table of DMA; and the audit's table.
  private static let mappings = 6

  /// Boots, moves pages there, brings one back, and goes with the driver bound; the time at the
  /// end.
  private static func life(
    on supply: MemorySupply, profile: String = "gp100"
  ) throws -> UInt64 {
    var configuration = MachineConfiguration.tiny
    configuration.hostMemory = supply
    configuration.gpu.chip = try #require(GPUProfiles.chip(named: profile))
    configuration.choices = RandomWalkChoices(seed: 3)
    let machine = try Machine(configuration)
    try machine.runThrowing { machine throws(KernelError) in
      try await machine.boot()
      let process = try await machine.makeProcess("app")
      let bytes = UInt64(8 * PageSize.bytes)
      let start = try await process.space.map(bytes: bytes, .readWrite, name: "pages")
      do throws(AccessError) {
        for page in 0..<8 { try await process.space.touch(start + page * 4096, write: true) }
      } catch {
        throw .ENOMEM
      }
      _ = try await process.migrateToDevice(VirtualRange(start: start, bytes: bytes))
      do throws(AccessError) {
        try await process.space.touch(start, write: false)
      } catch {
        throw .EIO
      }
    }
    #expect(machine.audit() == [])
    return machine.kernel.now
  }

  @Test func aMachineThatGoesAsItStands_leavesItsMemoryClean() throws {
    let supply = MemorySupply()
    let first = try Self.life(on: supply)
    // All of it comes back: nothing keeps a part of the machine alive.
    #expect(supply.idleMappings == Self.mappings)
    #expect(supply.isClean())
    let second = try Self.life(on: supply)
    #expect(first == second)
    #expect(supply.idleMappings == Self.mappings)
  }

  @Test func aMachineOnMicrocode_leavesItsMemoryClean() throws {
    let supply = MemorySupply()
    _ = try Self.life(on: supply, profile: "gf100-copy")
    #expect(supply.idleMappings == Self.mappings)
    #expect(supply.isClean())
  }

  @Test func aMachineInRealTime_takesNothing() throws {
    let supply = MemorySupply()
    do {
      var configuration = MachineConfiguration.tiny
      configuration.mode = .realTime
      configuration.hostMemory = supply
      _ = try Machine(configuration)
    }
    #expect(supply.idleMappings == 0)
  }
}
