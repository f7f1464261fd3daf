import Base
import NVHardware

extension CopyLaunch {
  /// Why the engine refuses the launch, if it does; nothing has moved then.
  ///
  /// SOURCE: the names of the LAUNCHERR codes (nouveau nvkm/engine/ce/gp100.c) say what is checked;
  /// the order of the checks is this model's.
  var error: LaunchError? {
    typealias C = ClassC0B5
    if C.LAUNCH_DMA_RESERVED.get(command) != 0 { return .UNUSED_FIELD }
    guard C.LAUNCH_DMA_DATA_TRANSFER_TYPE.get(command) != 3, semaphoreType != 3, interruptType != 3
    else { return .INVALID_VALUE }
    if let error = semaphoreError { return error }
    return transfers ? transferError : nil
  }

  private var semaphoreError: LaunchError? {
    typealias C = ClassC0B5
    switch semaphoreType {
    case C.LAUNCH_DMA_SEMAPHORE_TYPE_RELEASE_ONE_WORD_SEMAPHORE:
      if state.semaphoreAddress % 4 != 0 { return .INVALID_ALIGNMENT }
    case C.LAUNCH_DMA_SEMAPHORE_TYPE_RELEASE_FOUR_WORD_SEMAPHORE:
      if state.semaphoreAddress % 16 != 0 { return .INVALID_ALIGNMENT }
    default:
      return nil
    }
    if C.LAUNCH_DMA_SEMAPHORE_REDUCTION_ENABLE.get(command) == 1,
      SemaphoreReduction(rawValue: C.LAUNCH_DMA_SEMAPHORE_REDUCTION.get(command)) == nil
    {
      return .INVALID_VALUE
    }
    return nil
  }

  private var transferError: LaunchError? {
    typealias C = ClassC0B5
    var sourceLine = UInt64(state.lineLength)
    var targetLine = sourceLine
    var reads = true
    if isRemapped {
      let remap = Remap(state)
      if let error = remap.error { return error }
      sourceLine *= UInt64(remap.sourceBytes)
      targetLine *= UInt64(remap.targetBytes)
      reads = !remap.readsNothing
    }
    if reads {
      if sourceIsPitch {
        if let error = pitchError(
          state.source.pitch, sourceLine, .SRC_LINE_EXCEEDS_PITCH, .SRC_LINE_EXCEEDS_NEG_PITCH)
        {
          return error
        }
      } else if let error = CopySurface.error(state.source, lineBytes: sourceLine, lines: lines) {
        return error
      }
      if sourceIsPhysical, C.PHYS_MODE_TARGET.get(state.source.physicalMode) == 3 {
        return .INVALID_VALUE
      }
    }
    if targetIsPhysical, C.PHYS_MODE_TARGET.get(state.target.physicalMode) == 3 {
      return .INVALID_VALUE
    }
    if targetIsPitch {
      return pitchError(
        state.target.pitch, targetLine, .DST_LINE_EXCEEDS_PITCH, .DST_LINE_EXCEEDS_NEG_PITCH)
    }
    return CopySurface.error(state.target, lineBytes: targetLine, lines: lines)
  }

  private func pitchError(
    _ word: UInt32, _ bytes: UInt64, _ positive: LaunchError, _ negative: LaunchError
  ) -> LaunchError? {
    guard isMultiLine else { return nil }
    let pitch = Int32(bitPattern: word)
    guard bytes > UInt64(pitch.magnitude) else { return nil }
    return pitch < 0 ? negative : positive
  }
}
