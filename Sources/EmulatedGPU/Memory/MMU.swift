import Base
import KernelRuntime
import NVHardware

/// What an instance block says about translation.
struct InstanceContext {
  let instance: Place
  let space: AddressSpace
  /// The last valid virtual address.
  let limit: UInt64
  /// Faults of graphics clients park until the driver replays them.
  let isReplayable: Bool
}

/// The GMMU: address spaces by page directory, and their invalidation.
final class MMU {
  private let board: Board
  /// In order of first use; found again by a scan, of which there are few.
  private var spaces: [AddressSpace] = []
  /// Told when parked faults may go on or are cancelled.
  var onReplay: (MMUReplay, UInt32) -> Void = { _, _ in }
  /// Invalidations done.
  private(set) var invalidations: UInt64 = 0

  init(_ board: Board) { self.board = board }

  func space(root: Place) -> AddressSpace {
    if let last = spaces.first(where: { $0.root == root }) { return last }
    let space = AddressSpace(board, root: root)
    spaces.append(space)
    return space
  }

  /// Reads an instance block's page directory words.
  func context(at instance: Place) throws(TranslationFault) -> InstanceContext {
    let run: MemoryRun
    do throws(BusFault) {
      run = try board.resolve(instance, isWrite: false)
    } catch {
      throw TranslationFault(type: .UNBOUND_INST_BLOCK)
    }
    guard run.length >= NV_RAMIN.byteCount else {
      throw TranslationFault(type: .UNBOUND_INST_BLOCK)
    }
    let low = run.memory.load(UInt32.self, at: run.offset + NV_RAMIN.PAGE_DIR_BASE_LO)
    let high = run.memory.load(UInt32.self, at: run.offset + NV_RAMIN.PAGE_DIR_BASE_HI)
    let limit = run.memory.load(UInt64.self, at: run.offset + NV_RAMIN.ADR_LIMIT_LO)
    guard let aperture = Aperture(target: NV_RAMIN.PAGE_DIR_BASE_TARGET.get(low)) else {
      throw TranslationFault(type: .UNBOUND_INST_BLOCK)
    }
    guard NV_RAMIN.USE_VER2_PT_FORMAT.get(low) == 1 else {
      board.reportUnimplemented(.field, UInt64(low), 0, "NV_RAMIN_USE_VER2_PT_FORMAT_FALSE")
      throw TranslationFault(type: .UNBOUND_INST_BLOCK)
    }
    guard NV_RAMIN.BIG_PAGE_SIZE.get(low) == 1 else {
      board.reportUnimplemented(.field, UInt64(low), 0, "NV_RAMIN_BIG_PAGE_SIZE_128KB")
      throw TranslationFault(type: .UNBOUND_INST_BLOCK)
    }
    let root = UInt64(high) << 32 | UInt64(low & ~0xfff)
    let replay =
      NV_RAMIN.PAGE_DIR_BASE_FAULT_REPLAY_TEX.get(low) == 1
      || NV_RAMIN.PAGE_DIR_BASE_FAULT_REPLAY_GCC.get(low) == 1
    return InstanceContext(
      instance: instance, space: space(root: Place(aperture: aperture, address: root)),
      limit: limit, isReplayable: replay)
  }

  /// Forgets translations of one page directory or of all, then acts on parked faults.
  ///
  /// - Parameters:
  ///   - root: the page directory; nil for all.
  ///   - address: one page; nil for all.
  ///   - target: client, GPC and client type of a targeted cancel, as the register packs them.
  func invalidate(
    root: Place?, address: UInt64?, hubOnly: Bool, replay: MMUReplay, target: UInt32
  ) {
    invalidations += 1
    board.kernel.trace.record(.invalidate, root?.address ?? .max, UInt64(replay.rawValue))
    for space in spaces where root == nil || space.root == root {
      space.invalidate(address, hubOnly: hubOnly)
    }
    if replay != .NONE { onReplay(replay, target) }
  }
}

extension Aperture {
  /// The aperture of a `TARGET` field of instance blocks, windows and runlists.
  init?(target: UInt32) {
    switch target {
    case NV_TARGET.VID_MEM: self = .vram
    case NV_TARGET.SYS_MEM_COHERENT, NV_TARGET.SYS_MEM_NONCOHERENT: self = .system
    default: return nil
    }
  }
}
