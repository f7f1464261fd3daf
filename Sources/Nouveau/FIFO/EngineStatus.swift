import Base
import NVHardware

/// What ENGINE_STATUS says an engine is on.
struct EngineStatus {
  let isBusy: Bool
  let isFaulted: Bool
  /// It waits for a context switch to end.
  let isSwitching: Bool
  /// The group whose context counts: what is loaded, or being loaded.
  let group: UInt32

  /// Nil when the engine has no context.
  ///
  /// Kernel: gk104_engn_status, gk104_engn_cxid, gk104_engn_chsw (nvkm/engine/fifo/gk104.c)
  init?(_ registers: RegisterAccess, _ engine: UInt32) {
    typealias P = NV_PFIFO
    guard engine < 32 else { return nil }
    let word = registers.read(P.ENGINE_STATUS(engine))
    guard word != .max else { return nil }
    let context = P.STATUS_CTX_STATUS.get(word)
    isBusy = P.STATUS_BUSY.get(word) != 0
    isFaulted = P.STATUS_FAULTED.get(word) != 0
    // 1 valid, 5 load, 6 save, 7 both.
    isSwitching = isBusy && context & 4 != 0
    switch context {
    case 1, 6, 7: group = P.STATUS_ID.get(word)
    case 5: group = P.STATUS_NEXT_ID.get(word)
    default: return nil
    }
  }
}
