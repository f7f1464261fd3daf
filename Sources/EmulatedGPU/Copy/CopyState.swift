import NVHardware

/// The method state of a copy engine's class, kept per channel.
struct CopyState: BitwiseCopyable {
  struct Surface: BitwiseCopyable {
    var physicalMode: UInt32 = 0
    var offsetUpper: UInt32 = 0
    var offsetLower: UInt32 = 0
    var pitch: UInt32 = 0
    var blockSize: UInt32 = 0
    var width: UInt32 = 0
    var height: UInt32 = 0
    var depth: UInt32 = 0
    var layer: UInt32 = 0
    var origin: UInt32 = 0

    var address: UInt64 { UInt64(offsetUpper) << 32 | UInt64(offsetLower) }
  }

  var source = Surface()
  var target = Surface()
  var semaphoreUpper: UInt32 = 0
  var semaphoreLower: UInt32 = 0
  var payload: UInt32 = 0
  var renderUpper: UInt32 = 0
  var renderLower: UInt32 = 0
  /// After reset, launches are carried out.
  var renderMode: UInt32 = ClassC0B5.SET_RENDER_ENABLE_C_MODE_TRUE
  var lineLength: UInt32 = 0
  var lineCount: UInt32 = 0
  var remapConstA: UInt32 = 0
  var remapConstB: UInt32 = 0
  var remapComponents: UInt32 = 0

  var semaphoreAddress: UInt64 { UInt64(semaphoreUpper) << 32 | UInt64(semaphoreLower) }

  enum MethodResult {
    case accepted
    case launch
    /// A method of the class that the emulated engine doesn't have.
    case unimplemented(String)
    /// No method of the class.
    case illegal
  }

  /// Executes a method of class C0B5.
  mutating func execute(_ method: UInt32, _ data: UInt32) -> MethodResult {
    typealias C = ClassC0B5
    switch method {
    case C.LAUNCH_DMA: return .launch
    case C.OFFSET_IN_UPPER: source.offsetUpper = data & 0x1_ffff
    case C.OFFSET_IN_LOWER: source.offsetLower = data
    case C.OFFSET_OUT_UPPER: target.offsetUpper = data & 0x1_ffff
    case C.OFFSET_OUT_LOWER: target.offsetLower = data
    case C.PITCH_IN: source.pitch = data
    case C.PITCH_OUT: target.pitch = data
    case C.LINE_LENGTH_IN: lineLength = data
    case C.LINE_COUNT: lineCount = data
    case C.SET_SRC_PHYS_MODE: source.physicalMode = data
    case C.SET_DST_PHYS_MODE: target.physicalMode = data
    case C.SET_SEMAPHORE_A: semaphoreUpper = data & 0x1_ffff
    case C.SET_SEMAPHORE_B: semaphoreLower = data
    case C.SET_SEMAPHORE_PAYLOAD: payload = data
    case C.SET_REMAP_CONST_A: remapConstA = data
    case C.SET_REMAP_CONST_B: remapConstB = data
    case C.SET_REMAP_COMPONENTS: remapComponents = data
    case C.SET_RENDER_ENABLE_A: renderUpper = data & 0xff
    case C.SET_RENDER_ENABLE_B: renderLower = data
    case C.SET_RENDER_ENABLE_C: renderMode = data & 7
    case C.NOP: break
    case C.SET_DST_BLOCK_SIZE...C.SET_DST_ORIGIN:
      return Self.surface(&target, method - C.SET_DST_BLOCK_SIZE, data)
    case C.SET_SRC_BLOCK_SIZE...C.SET_SRC_ORIGIN:
      return Self.surface(&source, method - C.SET_SRC_BLOCK_SIZE, data)
    case C.PM_TRIGGER: return .unimplemented("NVC0B5_PM_TRIGGER")
    case C.PM_TRIGGER_END: return .unimplemented("NVC0B5_PM_TRIGGER_END")
    default: return .illegal
    }
    return .accepted
  }

  /// The block-linear parameters, at the same distances for both sides.
  private static func surface(_ side: inout Surface, _ offset: UInt32, _ data: UInt32)
    -> MethodResult
  {
    switch offset {
    case 0x00: side.blockSize = data
    case 0x04: side.width = data
    case 0x08: side.height = data
    case 0x0c: side.depth = data
    case 0x10: side.layer = data
    case 0x14: side.origin = data
    default: return .illegal
    }
    return .accepted
  }
}

/// One LAUNCH_DMA with the state it found; an object, because the state is large and goes through
/// several hands.
final class CopyLaunch {
  let command: UInt32
  let state: CopyState
  let channel: Channel
  let context: InstanceContext

  init(command: UInt32, state: CopyState, channel: Channel, context: InstanceContext) {
    self.command = command
    self.state = state
    self.channel = channel
    self.context = context
  }

  @inline(__always)
  func bit(_ index: UInt32) -> Bool { command >> index & 1 == 1 }

  var transfers: Bool { command & 3 != 0 }
  var semaphoreType: UInt32 { command >> 3 & 3 }
  var interruptType: UInt32 { command >> 5 & 3 }
  var sourceIsPitch: Bool { bit(7) }
  var targetIsPitch: Bool { bit(8) }
  var isMultiLine: Bool { bit(9) }
  var isRemapped: Bool { bit(10) }
  var sourceIsPhysical: Bool { bit(12) }
  var targetIsPhysical: Bool { bit(13) }
  /// Lines to move: LINE_COUNT counts only when MULTI_LINE is enabled.
  var lines: UInt64 { isMultiLine ? UInt64(state.lineCount) : 1 }
}
