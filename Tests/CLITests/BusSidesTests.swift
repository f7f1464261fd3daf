import Base
import DeviceSeam
import EmulatedGPU
import Foundation
import KernelRuntime
import LinuxMM
import Nouveau
import PCIDiscovery
import Testing

/// The driver's bus has three sides; on two of them bring-up ends after identification, and nothing
/// is ever written.
@Suite struct BusSidesTests {
  private let kernel = Kernel()

  private static func board(_ name: String) throws -> PCIDeviceRecord {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let file = try Data(contentsOf: root.appending(path: "docs/recordings/\(name).json"))
    return try #require(
      try PCIRecording.parse([UInt8](file), file: name).devices.first(where: \.isNVIDIADisplay))
  }

  private func probe(_ pci: any PCIDevice) throws -> KernelError? {
    let mm = try MemoryManager(kernel, MemoryConfiguration(ramBytes: 4 << 20))
    let result = try kernel.runThrowing { [kernel] () async throws(KernelError) in
      let device = try await NouveauDevice.probe(kernel, mm, pci)
      await device.shutdown()
    }
    do throws(KernelError) {
      try result.get()
      return nil
    } catch {
      return error
    }
  }

  @Test func aRecordedBoard_isIdentifiedAndNotDriven() throws {
    let record = try Self.board("p100-pcie-16gb")
    let device = try ObservedPCIDevice(kernel, RecordedDeviceAccess(record: record))
    let found = try NouveauDevice.identify(device)
    #expect(found.chip == "GP100" && found.chipset == 0x130)
    #expect(
      found.description
        == "NVIDIA GP100 (0x\(String(found.boot0, radix: 16))); "
        + "bring-up stops here: a recording can be read, not driven")
    #expect(try probe(device) == .EOPNOTSUPP)
    #expect(device.droppedWrites == 0)
  }

  @Test func aLostBoard_isNoDevice() throws {
    let record = try Self.board("p100-lost")
    let device = try ObservedPCIDevice(kernel, RecordedDeviceAccess(record: record))
    #expect(throws: KernelError.ENODEV) { try NouveauDevice.identify(device) }
    #expect(try probe(device) == .ENODEV)
  }

  @Test func aBoardWhoseChipIsNotModelled_isNoDeviceOfOurs() throws {
    let record = try Self.board("t4")
    let device = try ObservedPCIDevice(kernel, RecordedDeviceAccess(record: record))
    #expect(try probe(device) == .ENODEV)
    #expect(device.droppedWrites == 0)
  }

  /// A real board, as far as this process can tell: its registers are the emulated one's.
  private struct Borrowed: PCIDeviceAccess {
    let record: PCIDeviceRecord
    let gpu: EmulatedGPU
    var side: PCIDeviceSide { .real }

    func readRegisters(
      bar: Int, offset: UInt64, count: Int
    ) throws(DiscoveryError) -> [UInt32] {
      (0..<UInt32(count)).map { gpu.registers.read32(at: UInt32(offset) + 4 * $0) }
    }
  }

  @Test func aRealBoard_isIdentifiedAndNotDriven() throws {
    let ram = try MappedMemory(count: 1 << 20)
    let gpu = try EmulatedGPU(
      kernel, configuration: GPUConfiguration(vramBytes: 64 << 20),
      dma: try DMAAddressSpace(kernel, ram: ram))
    let device = try ObservedPCIDevice(
      kernel, Borrowed(record: try Self.board("p100-pcie-16gb"), gpu: gpu))
    let found = try NouveauDevice.identify(device)
    #expect(found.chip == "GP100")
    #expect(found.stop == "bring-up stops here: this reference does not drive real boards")
    #expect(try probe(device) == .EOPNOTSUPP)
    #expect(device.droppedWrites == 0)
    // The same board on the emulated side is driven.
    #expect(try NouveauDevice.identify(gpu).stop == nil)
    #expect(try probe(gpu) == nil)
  }

  @Test func whatCannotBeRead_readsAsAllOnesAndSaysWhy() throws {
    var record = try Self.board("p100-pcie-16gb")
    record.registers = []
    let device = try ObservedPCIDevice(kernel, RecordedDeviceAccess(record: record))
    #expect(device.registers.read32(at: 0x100) == .max)
    #expect(device.refusals.first?.remedy.contains("--probe --record") == true)
    #expect(try probe(device) == .ENODEV)
  }
}
