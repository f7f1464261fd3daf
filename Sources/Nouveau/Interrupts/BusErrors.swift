import Base
import NVHardware

/// What the bus unit reports: accesses that no unit answered.
enum BusErrors {
  /// Kernel: gf100_bus_intr (nvkm/subdev/bus/gf100.c)
  static func handle(_ device: NVKMDevice) {
    typealias P = NV_PBUS
    let registers = device.registers
    let status = registers.read(P.INTR_0) & registers.read(P.INTR_EN_0)
    let saved = registers.read(P.PRI_TIMEOUT_SAVE_0)
    if P.PRI_TIMEOUT_SAVE_0_TO.get(saved) != 0 {
      let verb = P.PRI_TIMEOUT_SAVE_0_WRITE.get(saved) != 0 ? "write" : "read"
      let address = P.PRI_TIMEOUT_SAVE_0_ADDR.get(saved) << 2
      device.log.error("bus", "MMIO \(verb) FAULT at 0x\(String(address, radix: 16))")
      registers.write(P.PRI_TIMEOUT_SAVE_0, 0)
    } else if status != 0 {
      device.log.error("bus", "intr 0x\(String(status, radix: 16))")
    }
    registers.write(P.INTR_0, status)
  }
}
