package import Base
package import NVHardware

/// An access that waits to be tried again: a packet of the fault buffer
/// (`struct nouveau_svm_fault`).
package struct ReplayableFault: Hashable, Sendable {
  /// The instance block of the channel that faulted.
  package let instance: VRAMAddress
  package let address: GPUVirtualAddress
  package let access: NV_PFAULT.AccessType
  package let reason: NV_PFAULT.FaultType
  package let client: UInt32
  package let isHub: Bool
  package let gpc: UInt32
  /// Nanoseconds of PTIMER.
  package let timestamp: UInt64

  /// Decodes a packet of eight dwords; nil when its VALID bit is clear, or it holds a code that the
  /// manuals don't list.
  ///
  /// Kernel: nouveau_svm_fault_cache (nouveau_svm.c)
  package init?(words: [UInt32]) {
    typealias F = NVB069_FAULT_BUF_ENTRY
    invariant(words.count == F.byteCount / 4, "a fault packet of \(words.count) dwords")
    let info = words[F.INFO_WORD / 4]
    guard F.VALID.get(info) != 0,
      let access = NV_PFAULT.AccessType(rawValue: F.ACCESS_TYPE.get(info)),
      let reason = NV_PFAULT.FaultType(rawValue: F.FAULT_TYPE.get(info))
    else { return nil }
    self.access = access
    self.reason = reason
    instance = VRAMAddress(
      UInt64(words[F.INST_HI_WORD / 4]) << 32
        | UInt64(words[F.INST_LO_WORD / 4]) & F.INST_LO.mask)
    address = GPUVirtualAddress(
      UInt64(words[F.ADDR_HI_WORD / 4]) << 32 | UInt64(words[F.ADDR_LO_WORD / 4]))
    client = F.CLIENT.get(info)
    isHub = F.MMU_CLIENT_TYPE.get(info) != 0
    gpc = F.GPC_ID.get(info)
    timestamp =
      UInt64(words[F.TIMESTAMP_HI_WORD / 4]) << 32 | UInt64(words[F.TIMESTAMP_LO_WORD / 4])
  }
}
