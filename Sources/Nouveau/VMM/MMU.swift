import Base
import KernelRuntime
import NVHardware

/// The memory management unit shared by all address spaces: invalidations, replays, cancels.
package final class MMU {
  let device: NVKMDevice
  let memory: InstanceMemory
  /// Invalidations since bring-up.
  package private(set) var invalidations: UInt64 = 0
  private let lock: SleepingLock
  /// Address spaces that exist.
  package internal(set) var spaceCount = 0

  /// One invalidation at a time: its registers are shared (`nvkm_mmu.mutex`).
  static let lockClass = LockClass(name: "mmu mutex", rank: 445)

  init(_ device: NVKMDevice, _ memory: InstanceMemory) {
    self.device = device
    self.memory = memory
    lock = SleepingLock(device.kernel, Self.lockClass)
  }

  /// Makes the TLBs forget one address space. False when the hardware didn't finish in 2 s.
  ///
  /// Kernel: gp100_vmm_flush, gf100_vmm_invalidate (nvkm/subdev/mmu/vmmgp100.c, vmmgf100.c)
  @discardableResult
  func invalidate(_ directory: VRAMAddress, isBAR: Bool) async -> Bool {
    typealias P = NV_PFB
    let command =
      P.PRI_MMU_INVALIDATE_ALL_VA.make32(1)
      | P.PRI_MMU_INVALIDATE_HUBTLB_ONLY.make32(isBAR ? 1 : 0)
    return await issue(command, directory: directory)
  }

  /// Lets every parked access try again.
  ///
  /// Kernel: gp100_vmm_fault_replay (nvkm/subdev/mmu/vmmgp100.c)
  @discardableResult
  package func replayFaults() async -> Bool {
    typealias P = NV_PFB
    return await issue(
      P.PRI_MMU_INVALIDATE_ALL_VA.make32(1) | P.PRI_MMU_INVALIDATE_ALL_PDB.make32(1)
        | P.PRI_MMU_INVALIDATE_REPLAY.make32(MMUReplay.START.rawValue), directory: nil)
  }

  /// Gives one parked access up: it ends as a fault that kills its channel.
  ///
  /// Kernel: gp100_vmm_fault_cancel (nvkm/subdev/mmu/vmmgp100.c)
  // QUIRK(nouveau): the kernel cancels only while FECS runs the faulting context, which it can tell
  // because its replayable clients hang on the graphics engine. No graphics engine stands here, so
  // the cancel names its client and is sent at once.
  @discardableResult
  package func cancelFault(isHub: Bool, gpc: UInt32, client: UInt32) async -> Bool {
    typealias P = NV_PFB
    return await issue(
      P.PRI_MMU_INVALIDATE_ALL_VA.make32(1) | P.PRI_MMU_INVALIDATE_ALL_PDB.make32(1)
        | P.PRI_MMU_INVALIDATE_REPLAY.make32(MMUReplay.CANCEL_TARGETED.rawValue)
        | P.PRI_MMU_INVALIDATE_CANCEL_CLIENT_TYPE.make32(isHub ? 1 : 0)
        | P.PRI_MMU_INVALIDATE_CANCEL_GPC_ID.make32(gpc)
        | P.PRI_MMU_INVALIDATE_CANCEL_CLIENT_ID.make32(client), directory: nil)
  }

  private func issue(_ command: UInt32, directory: VRAMAddress?) async -> Bool {
    await lock.lock()
    defer { lock.unlock() }
    typealias P = NV_PFB
    let registers = device.registers
    invalidations += 1
    // The queue takes a command only while it has room.
    guard
      await device.wait(
        HardwareLimit.operation,
        until: { P.PRI_MMU_CTRL_PRI_FIFO_SPACE.get(registers.read(P.PRI_MMU_CTRL)) != 0 })
    else { return timedOut("has no room") }
    if let directory {
      registers.write(
        P.PRI_MMU_INVALIDATE_PDB,
        UInt32(truncatingIfNeeded: directory.rawValue >> 12) << 4
          | P.PRI_MMU_INVALIDATE_PDB_APERTURE.make32(NV_TARGET.VID_MEM))
      registers.write(
        P.PRI_MMU_INVALIDATE_UPPER_PDB,
        P.PRI_MMU_INVALIDATE_UPPER_PDB_ADDR.make32(UInt32(directory.rawValue >> 40)))
    }
    registers.write(P.PRI_MMU_INVALIDATE, command | P.PRI_MMU_INVALIDATE_TRIGGER.make32(1))
    guard
      await device.wait(
        HardwareLimit.operation,
        until: { P.PRI_MMU_CTRL_PRI_FIFO_EMPTY.get(registers.read(P.PRI_MMU_CTRL)) != 0 })
    else { return timedOut("doesn't empty") }
    return true
  }

  private func timedOut(_ what: String) -> Bool {
    if device.checkPresence() { device.log.error("mmu", "invalidation queue \(what)") }
    return false
  }
}
