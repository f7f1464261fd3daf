import Base
import KernelRuntime
import NVHardware

extension PBDMA {
  /// Executes one method, or says what it waits for.
  func execute(_ channel: Channel, _ context: InstanceContext, _ method: Channel.Method)
    -> MethodOutcome
  {
    methodCount &+= 1
    // Subdevice 0 is this one; a mask without it skips the methods.
    guard channel.subdeviceMask & 1 == 1 else { return .done }
    if method.address < ClassC06F.hostMethodEnd {
      if board.kernel.failures.fires(.pbdmaError) { return refuse(channel, method) }
      return executeHost(channel, context, method)
    }
    if method.subchannel >= 5 {
      // Software classes: the driver emulates them.
      return stopOn(channel, method, NV_PPBDMA.INTR_0_DEVICE)
    }
    guard let engine else {
      board.reportUnimplemented(
        .method, UInt64(method.address), UInt64(method.data), "graphics engine")
      return .done
    }
    guard channel.classes[Int(method.subchannel)] == engine.classID else {
      raiseHCE(channel, NV_PPBDMA.INTR_1_HCE_ILLEGAL_CLASS, method)
      return .wait(.stopped)
    }
    return outcome(engine.execute(method, of: channel, context), channel, method)
  }

  private func outcome(
    _ outcome: HostEngineOutcome, _ channel: Channel, _ method: Channel.Method
  ) -> MethodOutcome {
    switch outcome {
    case .done: return .done
    case .wait: return .wait(.engine)
    case .notPrivileged: raiseHCE(channel, NV_PPBDMA.INTR_1_HCE_PRIV, method)
    case .illegal: raiseHCE(channel, NV_PPBDMA.INTR_1_HCE_ILLEGAL_MTHD, method)
    case .unimplemented(let name):
      board.reportUnimplemented(.method, UInt64(method.address), UInt64(method.data), name)
      return .done
    }
    return .wait(.stopped)
  }

  /// Stops with the method in METHOD0 and DATA0, for the driver to replace.
  func stopOn(_ channel: Channel, _ method: Channel.Method, _ field: BitField) -> MethodOutcome {
    method0 =
      NV_PPBDMA.METHOD0_VALID.make32(1) | NV_PPBDMA.METHOD0_FIRST.make32(1)
      | NV_PPBDMA.METHOD0_SUBCH.make32(method.subchannel)
      | NV_PPBDMA.METHOD0_ADDR.make32(method.address >> 2)
    data0 = method.data
    raise(channel, field, .method)
    channel.stalled = nil
    return .wait(.stopped)
  }

  func refuse(_ channel: Channel, _ method: Channel.Method) -> MethodOutcome {
    stopOn(channel, method, NV_PPBDMA.INTR_0_METHOD)
  }

  private func executeHost(
    _ channel: Channel, _ context: InstanceContext, _ method: Channel.Method
  ) -> MethodOutcome {
    typealias C = ClassC06F
    switch method.address {
    case C.SET_OBJECT: return setObject(channel, method)
    case C.NOP, C.FB_FLUSH: return .done
    case C.SEMAPHOREA: channel.semaphore[0] = C.SEMAPHOREA_OFFSET_UPPER.get(method.data)
    case C.SEMAPHOREB: channel.semaphore[1] = method.data & ~3
    case C.SEMAPHOREC: channel.semaphore[2] = method.data
    case C.SEMAPHORED: return semaphore(channel, context, method)
    case C.NON_STALL_INTERRUPT:
      board.kernel.trace.record(.nonStall, UInt64(channel.id), on: agent.row)
      interrupts.raise(NV_PFIFO.INTR_0_CHANNEL_INTR)
    case C.MEM_OP_A: channel.memOp[0] = method.data
    case C.MEM_OP_B: channel.memOp[1] = method.data
    case C.MEM_OP_C: channel.memOp[2] = method.data
    case C.MEM_OP_D: return memOp(channel, method)
    case C.SET_REFERENCE:
      guard engineIsIdle else { return .wait(.engine) }
      channel.reference = method.data
    case C.WFI:
      guard engineIsIdle else { return .wait(.engine) }
    case C.YIELD: return yield(channel, method)
    case C.CRC_CHECK:
      board.reportUnimplemented(
        .method, UInt64(method.address), UInt64(method.data), "NVC06F_CRC_CHECK")
    default:
      // ILLEGAL, SYNCPOINTA and B (in the class header, but not on this chip), and whatever is
      // no method of the host.
      return refuse(channel, method)
    }
    return .done
  }

  var engineIsIdle: Bool { engine?.isIdle ?? true }

  private func setObject(_ channel: Channel, _ method: Channel.Method) -> MethodOutcome {
    let object = ClassC06F.SET_OBJECT_NVCLASS.get(method.data)
    // Subchannels 5 to 7 belong to software classes, which the driver emulates.
    if method.subchannel >= 5 { return stopOn(channel, method, NV_PPBDMA.INTR_0_DEVICE) }
    guard engine == nil || object == engine?.classID else {
      raiseHCE(channel, NV_PPBDMA.INTR_1_HCE_ILLEGAL_CLASS, method)
      return .wait(.stopped)
    }
    channel.classes[Int(method.subchannel)] = object
    guard let engine else {
      board.reportUnimplemented(.method, 0, UInt64(object), "SET_OBJECT on the graphics engine")
      return .done
    }
    return outcome(engine.bindObject(method, of: channel), channel, method)
  }

  private func yield(_ channel: Channel, _ method: Channel.Method) -> MethodOutcome {
    switch ClassC06F.YIELD_OP.get(method.data) {
    case 0: return .done
    default:
      guard method.data <= 3 else { return refuse(channel, method) }
      // The yield itself is done: what is left is to let others go first.
      channel.stalled = nil
      return hasWaiting(channel) ? .wait(.yield) : .done
    }
  }

  private func hasWaiting(_ channel: Channel) -> Bool {
    guard !channel.hasYielded else {
      channel.hasYielded = false
      return false
    }
    channel.hasYielded = runlist.contains { $0.channel !== channel && $0.channel.isRunnable }
    return channel.hasYielded
  }

  private func memOp(_ channel: Channel, _ method: Channel.Method) -> MethodOutcome {
    typealias C = ClassC06F
    switch C.MEM_OP_D_OPERATION.get(method.data) {
    case C.MEM_OP_D_OPERATION_MEMBAR, C.MEM_OP_D_OPERATION_L2_PEERMEM_INVALIDATE,
      C.MEM_OP_D_OPERATION_L2_SYSMEM_INVALIDATE, C.MEM_OP_D_OPERATION_L2_FLUSH_DIRTY,
      C.MEM_OP_D_OPERATION_L2_CLEAN_COMPTAGS:
      // Memory here has no caches that could be stale.
      return .done
    case C.MEM_OP_D_OPERATION_MMU_TLB_INVALIDATE, C.MEM_OP_D_OPERATION_MMU_TLB_INVALIDATE_TARGETED:
      guard channel.isAuthorized else { return refuse(channel, method) }
      return invalidate(channel, method)
    default:
      return refuse(channel, method)
    }
  }

  private func invalidate(_ channel: Channel, _ method: Channel.Method) -> MethodOutcome {
    typealias C = ClassC06F
    let a = channel.memOp[0]
    let c = channel.memOp[2]
    guard let replay = MMUReplay(rawValue: C.MEM_OP_C_TLB_INVALIDATE_REPLAY.get(c)) else {
      return refuse(channel, method)
    }
    var root: Place?
    if C.MEM_OP_C_TLB_INVALIDATE_PDB.get(c) == 0 {
      let aperture = C.MEM_OP_C_TLB_INVALIDATE_PDB_APERTURE.get(c)
      root = Place(
        aperture: Aperture(target: aperture) ?? .vram,
        address: UInt64(C.MEM_OP_D_TLB_INVALIDATE_PDB_ADDR_HI.get(method.data)) << 32
          | UInt64(c & ~0xfff))
    }
    let isTargeted =
      C.MEM_OP_D_OPERATION.get(method.data) == C.MEM_OP_D_OPERATION_MMU_TLB_INVALIDATE_TARGETED
    let address = isTargeted ? UInt64(channel.memOp[1]) << 32 | UInt64(a & ~0xfff) : nil
    // As PRI_MMU_INVALIDATE packs them: client, GPC.
    let target =
      C.MEM_OP_A_TLB_INVALIDATE_CANCEL_TARGET_CLIENT_UNIT_ID.get(a) << 9
      | C.MEM_OP_A_TLB_INVALIDATE_CANCEL_TARGET_GPC_ID.get(a) << 15
    mmu.invalidate(root: root, address: address, hubOnly: false, replay: replay, target: target)
    return .done
  }
}
