import Base
import KernelRuntime
import NVHardware

/// The hub's invalidation registers. An invalidation is done when its write returns, so the queue
/// is always empty.
struct InvalidationRegisters {
  var pdb: UInt32 = 0
  var upperPDB: UInt32 = 0
  var address: UInt32 = 0
  var upperAddress: UInt32 = 0
  /// Settings of PRI_MMU_CTRL.
  var settings: UInt32 = 0
  private(set) var last: UInt32 = 0

  /// PRI_MMU_CTRL with the state of the queue.
  var control: UInt32 {
    typealias P = NV_PFB
    let state =
      P.PRI_MMU_CTRL_PRI_FIFO_EMPTY.make32(1)
      | P.PRI_MMU_CTRL_PRI_FIFO_SPACE.make32(P.PRI_MMU_CTRL_PRI_FIFO_SPACE_INIT)
    let mask = UInt32(
      truncatingIfNeeded: P.PRI_MMU_CTRL_PRI_FIFO_EMPTY.mask | P.PRI_MMU_CTRL_PRI_FIFO_SPACE.mask)
    return settings & ~mask | state
  }

  mutating func trigger(_ word: UInt32, _ gpu: EmulatedGPU) {
    typealias P = NV_PFB
    last = word & ~UInt32(truncatingIfNeeded: P.PRI_MMU_INVALIDATE_TRIGGER.mask)
    let replayCode = P.PRI_MMU_INVALIDATE_REPLAY.get(word)
    guard P.PRI_MMU_INVALIDATE_TRIGGER.get(word) == 1 else { return }
    guard let replay = MMUReplay(rawValue: replayCode) else {
      gpu.board.reportUnimplemented(
        .field, UInt64(P.PRI_MMU_INVALIDATE), UInt64(replayCode), "PRI_MMU_INVALIDATE_REPLAY")
      return
    }
    var root: Place?
    if P.PRI_MMU_INVALIDATE_ALL_PDB.get(word) == 0 {
      let bits =
        UInt64(P.PRI_MMU_INVALIDATE_PDB_ADDR.get(pdb))
        | UInt64(P.PRI_MMU_INVALIDATE_UPPER_PDB_ADDR.get(upperPDB)) << 28
      root = Place(
        aperture: P.PRI_MMU_INVALIDATE_PDB_APERTURE.get(pdb) == 0 ? .vram : .system,
        address: bits << 12)
    }
    var page: UInt64?
    if P.PRI_MMU_INVALIDATE_ALL_VA.get(word) == 0 {
      page =
        (UInt64(P.PRI_MMU_INVALIDATE_VADDR_BITS.get(address))
          | UInt64(P.PRI_MMU_INVALIDATE_UPPER_VADDR_BITS.get(upperAddress)) << 28) << 12
    }
    gpu.mmu.invalidate(
      root: root, address: page, hubOnly: P.PRI_MMU_INVALIDATE_HUBTLB_ONLY.get(word) == 1,
      replay: replay, target: word)
  }
}
