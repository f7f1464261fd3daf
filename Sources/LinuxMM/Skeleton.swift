public import Base
import KernelRuntime

extension AddressSpace {
  public func map(
    bytes: UInt64, _ protection: Protection, at: VirtualAddress? = nil,
    flags: VMA.Flags = .anonymous,
    name: String = ""
  ) async throws(KernelError) -> VirtualAddress { invariantFailed("") }
  public func unmap(_ range: VirtualRange) async throws(KernelError) { invariantFailed("") }
  public func protect(_ range: VirtualRange, _ protection: Protection) async throws(KernelError) {
    invariantFailed("")
  }
  public func exit() async { invariantFailed("") }
  public func load(_ address: VirtualAddress, count: Int) async throws(AccessError) -> [UInt8] {
    invariantFailed("")
  }
  public func store(_ address: VirtualAddress, _ bytes: [UInt8]) async throws(AccessError) {
    invariantFailed("")
  }
  public func touch(_ address: VirtualAddress, write: Bool) async throws(AccessError) {
    invariantFailed("")
  }
  public func storeBulk(
    _ address: VirtualAddress, from memory: MappedMemory, at offset: Int, count: Int
  ) async throws(AccessError) { invariantFailed("") }
  public func loadBulk(
    _ address: VirtualAddress, into memory: MappedMemory, at offset: Int, count: Int
  ) async throws(AccessError) { invariantFailed("") }
  public func pin(
    _ address: VirtualAddress, pages: Int, write: Bool
  ) async throws(AccessError) -> PinnedPages { invariantFailed("") }
  public func unpin(_ pinned: PinnedPages, dirty: Bool = false) { invariantFailed("") }
  public func migrateSetup(
    _ request: MigrationRequest, _ buffers: MigrationBuffers
  ) async throws(KernelError) -> CollectedPages { invariantFailed("") }
  public func hmmRangeFault(_ range: inout HMMRange) async throws(KernelError) {
    invariantFailed("")
  }
}
extension MemoryManager {
  public func migrateDeviceSetup(
    _ range: PFNRange, _ buffers: MigrationBuffers
  ) async -> CollectedPages { invariantFailed("") }
}
public final class PinnedPages {
  public let pfns: [PFN] = []
}
extension MigrationBuffers {
  func commit() async {}
  func refuseAll() {}
  func finalize() {}
}
