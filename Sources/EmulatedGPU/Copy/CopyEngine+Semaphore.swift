import Base
import KernelRuntime
import NVHardware

extension CopyEngine {
  /// Whether SET_RENDER_ENABLE lets the launch move bytes.
  ///
  /// SOURCE: clc0b5.h; a record of two 8-byte words at A:B as envytools' conditional rendering
  /// describes: CONDITIONAL tests the first word, the others compare both.
  func rendersNow(_ launch: CopyLaunch) -> Bool {
    typealias C = ClassC0B5
    switch launch.state.renderMode {
    case C.SET_RENDER_ENABLE_C_MODE_FALSE: return false
    case C.SET_RENDER_ENABLE_C_MODE_TRUE: return true
    case C.SET_RENDER_ENABLE_C_MODE_CONDITIONAL, C.SET_RENDER_ENABLE_C_MODE_RENDER_IF_EQUAL,
      C.SET_RENDER_ENABLE_C_MODE_RENDER_IF_NOT_EQUAL:
      let address = UInt64(launch.state.renderUpper) << 32 | UInt64(launch.state.renderLower)
      let memory = SemaphoreMemory(board: board, context: launch.context)
      do throws(CopyFault) {
        let first = try memory.load(address)
        let second = try memory.load(address + 8)
        switch launch.state.renderMode {
        case C.SET_RENDER_ENABLE_C_MODE_CONDITIONAL: return first != 0
        case C.SET_RENDER_ENABLE_C_MODE_RENDER_IF_EQUAL: return first == second
        default: return first != second
        }
      } catch {
        return false
      }
    default:
      board.reportUnimplemented(
        .field, UInt64(launch.state.renderMode), 0, "SET_RENDER_ENABLE_C_MODE")
      return false
    }
  }

  /// The release that ends a launch; false after a fault.
  func releaseSemaphore(_ launch: CopyLaunch) -> Bool {
    typealias C = ClassC0B5
    let memory = SemaphoreMemory(board: board, context: launch.context)
    let address = launch.state.semaphoreAddress
    do throws(CopyFault) {
      var value = launch.state.payload
      if C.LAUNCH_DMA_SEMAPHORE_REDUCTION_ENABLE.get(launch.command) == 1,
        let reduction = SemaphoreReduction(
          rawValue: C.LAUNCH_DMA_SEMAPHORE_REDUCTION.get(launch.command))
      {
        let old = try memory.load(address)
        value = reduction.apply(
          to: old, value, isSigned: C.LAUNCH_DMA_SEMAPHORE_REDUCTION_SIGN.get(launch.command) == 0)
      }
      try memory.release(
        address, value,
        withTimestamp: launch.semaphoreType
          == C.LAUNCH_DMA_SEMAPHORE_TYPE_RELEASE_FOUR_WORD_SEMAPHORE)
      board.kernel.trace.record(
        .release, UInt64(launch.channel.id), address, UInt64(value))
      return true
    } catch {
      report(error, launch)
      return false
    }
  }
}

/// Semaphore words at virtual addresses of a channel.
struct SemaphoreMemory {
  let board: Board
  let context: InstanceContext

  private func place(_ address: UInt64, _ access: NV_PFAULT.AccessType) throws(CopyFault) -> Place?
  {
    do throws(TranslationFault) {
      let found = try context.space.translate(address, access, limit: context.limit)
      return found.flags.contains(.sparse) ? nil : found.place
    } catch {
      throw CopyFault(address: address, type: error.type, access: access)
    }
  }

  func load(_ address: UInt64) throws(CopyFault) -> UInt32 {
    guard let place = try place(address, .READ) else { return 0 }
    do throws(BusFault) {
      return try board.load(UInt32.self, at: place)
    } catch {
      throw CopyFault(address: address, type: .REGION_VIOLATION, access: .READ)
    }
  }

  /// Writes four bytes, or sixteen with a time stamp: the payload last, so that whoever sees it
  /// finds the time stamp.
  func release(_ address: UInt64, _ value: UInt32, withTimestamp: Bool) throws(CopyFault) {
    guard let place = try place(address, .WRITE) else { return }
    do throws(BusFault) {
      if withTimestamp {
        try board.store(board.timestamp, at: place.advanced(by: 8))
        try board.store(UInt32(0), at: place.advanced(by: 4))
      }
      try board.store(value, at: place)
    } catch {
      throw CopyFault(address: address, type: .REGION_VIOLATION, access: .WRITE)
    }
  }
}

extension SemaphoreReduction {
  /// The word in memory after the reduction with `payload`.
  func apply(to memory: UInt32, _ payload: UInt32, isSigned: Bool) -> UInt32 {
    let isLess =
      isSigned
      ? Int32(bitPattern: memory) < Int32(bitPattern: payload) : memory < payload
    switch self {
    case .MIN: return isLess ? memory : payload
    case .MAX: return isLess ? payload : memory
    case .XOR: return memory ^ payload
    case .AND: return memory & payload
    case .OR: return memory | payload
    case .ADD: return memory &+ payload
    case .INC: return memory >= payload ? 0 : memory + 1
    case .DEC: return memory == 0 || memory > payload ? payload : memory - 1
    }
  }
}
