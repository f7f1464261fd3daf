import Base
import NVHardware

/// A failed address translation as PFIFO reports it: the kind that can't be replayed.
struct MMUFault: CustomStringConvertible {
  let unit: UInt32
  let instance: VRAMAddress
  let address: UInt64
  let reason: UInt32
  let access: UInt32
  let client: UInt32
  let isHub: Bool
  let gpc: UInt32

  /// Kernel: gp100_fifo_intr_mmu_fault_unit (nvkm/engine/fifo/gp100.c)
  init(_ registers: RegisterAccess, _ unit: UInt32) {
    typealias P = NV_PFIFO
    self.unit = unit
    let pointer = P.INTR_MMU_FAULT_INST_PTR.get(registers.read(P.INTR_MMU_FAULT_INST(unit)))
    instance = VRAMAddress(UInt64(pointer) << 12)
    address =
      UInt64(registers.read(P.INTR_MMU_FAULT_HI(unit))) << 32
      | UInt64(registers.read(P.INTR_MMU_FAULT_LO(unit)))
    let info = registers.read(P.INTR_MMU_FAULT_INFO(unit))
    reason = P.INTR_MMU_FAULT_INFO_TYPE.get(info)
    access = P.INTR_MMU_FAULT_INFO_ACCESS.get(info)
    client = P.INTR_MMU_FAULT_INFO_CLIENT.get(info)
    isHub = P.INTR_MMU_FAULT_INFO_CLIENT_TYPE_HUB.get(info) != 0
    gpc = P.INTR_MMU_FAULT_INFO_GPC_ID.get(info)
  }

  var description: String {
    let kind = NV_PFAULT.AccessType(rawValue: access).map { "\($0)" } ?? "\(access)"
    let why = NV_PFAULT.FaultType(rawValue: reason).map { "\($0)" } ?? "\(reason)"
    let where_ = isHub ? "HUB" : "GPC\(gpc)"
    return "fault \(kind) at 0x\(String(address, radix: 16)) engine \(unit) client "
      + "\(where_)/\(client) reason \(why) instance \(instance)"
  }
}
