import Base
import KernelRuntime
import NVHardware

extension PBDMA {
  /// What stopped a channel's progress.
  enum Outcome {
    case outOfWork
    /// The engine has to make room or come to rest; it kicks.
    case engine
    case acquire(mayYield: Bool)
    case delay(until: UInt64)
    case yield
    /// An interrupt or a fault.
    case stopped
    case budget
  }

  /// What became of one method.
  enum MethodOutcome {
    case done
    case wait(Outcome)
  }

  /// Goes on with a loaded channel as far as it gets.
  func advance(_ channel: Channel, _ budget: inout Int) -> Outcome {
    guard let context = channel.context else { return .stopped }
    if channel.isRung, !refreshPut(channel) { return .stopped }
    if let method = channel.stalled {
      if case .wait(let outcome) = execute(channel, context, method) { return outcome }
      channel.stalled = nil
    }
    while true {
      if channel.fetch.left == 0 {
        guard channel.gpGet != channel.gpPut else { return .outOfWork }
        if mustRotate(channel) { return .yield }
        guard fetchEntry(channel, context) else { return .stopped }
        continue
      }
      if let outcome = decodeSegment(channel, context, &budget) { return outcome }
      if budget <= 0 { return .budget }
    }
  }

  /// Takes the next entry of the ring; false after an error.
  private func fetchEntry(_ channel: Channel, _ context: InstanceContext) -> Bool {
    let address = channel.gpBase + UInt64(channel.gpGet) * UInt64(GPFIFOEntry.byteCount)
    guard let run = read(channel, context, address) else { return false }
    let entry = GPFIFOEntry(
      word0: run.memory.load(UInt32.self, at: run.offset),
      word1: run.memory.load(UInt32.self, at: run.offset + 4))
    channel.gpGet = (channel.gpGet + 1) & channel.gpMask
    if entry.dwords == 0 {
      switch entry.opcode {
      case GPFIFOEntry.GP_ENTRY1_OPCODE_NOP: return true
      case GPFIFOEntry.GP_ENTRY1_OPCODE_GP_CRC, GPFIFOEntry.GP_ENTRY1_OPCODE_PB_CRC:
        board.reportUnimplemented(
          .method, UInt64(entry.opcode), UInt64(entry.word0), "NVC06F_GP_ENTRY1_OPCODE_CRC")
        return true
      default: return illegalEntry(channel, entry)
      }
    }
    guard entry.address + UInt64(entry.dwords) * 4 <= 1 << 40 else {
      return illegalEntry(channel, entry)
    }
    channel.fetch.address = entry.address
    channel.fetch.left = entry.dwords
    return true
  }

  private func illegalEntry(_ channel: Channel, _ entry: GPFIFOEntry) -> Bool {
    gpShadow = (entry.word0, entry.word1)
    raise(channel, NV_PPBDMA.INTR_0_GPENTRY, .skip)
    return false
  }

  /// The bytes at a virtual address that the host reads; nil after a fault.
  private func read(_ channel: Channel, _ context: InstanceContext, _ address: UInt64) -> MemoryRun?
  {
    do throws(TranslationFault) {
      let found = try context.space.translate(address, .READ, limit: context.limit)
      do throws(BusFault) {
        let run = try board.resolve(found.place, isWrite: false)
        let length = min(run.length, Int(found.length))
        return MemoryRun(memory: run.memory, offset: run.offset, length: length)
      } catch {
        throw TranslationFault(type: .REGION_VIOLATION)
      }
    } catch {
      fault(channel, context.instance, address, error.type, .READ)
      return nil
    }
  }

  /// Decodes what of the segment lies in one page; nil to go on.
  private func decodeSegment(
    _ channel: Channel, _ context: InstanceContext, _ budget: inout Int
  ) -> Outcome? {
    guard let run = read(channel, context, channel.fetch.address) else { return .stopped }
    let words = min(Int(channel.fetch.left), run.length / 4)
    var index = 0
    var fetch = channel.fetch
    while index < words {
      let word = run.memory.load(UInt32.self, at: run.offset + 4 * index)
      index += 1
      fetch.address &+= 4
      fetch.left -= 1
      if fetch.count == 0 {
        switch header(channel, &fetch, word) {
        case .method: continue
        case .immediate(let method):
          channel.fetch = fetch
          if let outcome = run1(channel, context, method) { return outcome }
        case .endSegment:
          fetch.left = 0
          index = words
        case .error:
          channel.fetch = fetch
          return .stopped
        }
        continue
      }
      let method = Channel.Method(
        subchannel: fetch.subchannel, address: fetch.method, data: word)
      fetch.count -= 1
      fetch.method += fetch.increment
      fetch.increment = fetch.laterIncrement
      // Most methods only set state of the copy engine: no need to leave the loop.
      if method.address >= ClassC06F.hostMethodEnd, method.address != ClassC0B5.LAUNCH_DMA,
        hasFixedFunctions, channel.subdeviceMask & 1 == 1,
        channel.classes[Int(method.subchannel)] == board.copyClass
      {
        methodCount &+= 1
        if case .accepted = channel.copy.execute(method.address, method.data) { continue }
        methodCount &-= 1
      }
      channel.fetch = fetch
      if let outcome = run1(channel, context, method) { return outcome }
    }
    budget -= words
    channel.fetch = fetch
    return nil
  }

  private func run1(_ channel: Channel, _ context: InstanceContext, _ method: Channel.Method)
    -> Outcome?
  {
    guard case .wait(let outcome) = execute(channel, context, method) else { return nil }
    if case .stopped = outcome { return outcome }
    channel.stalled = method
    return outcome
  }

  private enum Header {
    case method
    case immediate(Channel.Method)
    case endSegment
    case error
  }

  private func header(_ channel: Channel, _ fetch: inout Channel.PushBufferFetch, _ word: UInt32)
    -> Header
  {
    let header = MethodHeader(word: word)
    fetch.subchannel = header.subchannel
    switch header.operation {
    case MethodHeader.DMA_SEC_OP_INC_METHOD:
      return begin(channel, &fetch, header, 4, 4)
    case MethodHeader.DMA_SEC_OP_NON_INC_METHOD:
      return begin(channel, &fetch, header, 0, 0)
    case MethodHeader.DMA_SEC_OP_ONE_INC:
      return begin(channel, &fetch, header, 4, 0)
    case MethodHeader.DMA_SEC_OP_IMMD_DATA_METHOD:
      guard word & 1 << 12 == 0 else { return illegalHeader(channel, word) }
      return .immediate(
        Channel.Method(
          subchannel: header.subchannel, address: header.method, data: header.count))
    case MethodHeader.DMA_SEC_OP_GRP0_USE_TERT:
      return group0(channel, &fetch, header)
    case MethodHeader.DMA_SEC_OP_GRP2_USE_TERT:
      guard header.tertiary == 0 else { return illegalHeader(channel, word) }
      fetch.method = header.oldMethod
      fetch.count = header.oldCount
      fetch.increment = 0
      fetch.laterIncrement = 0
      return .method
    case MethodHeader.DMA_SEC_OP_END_PB_SEGMENT: return .endSegment
    default: return illegalHeader(channel, word)
    }
  }

  private func begin(
    _ channel: Channel, _ fetch: inout Channel.PushBufferFetch, _ header: MethodHeader,
    _ increment: UInt32, _ later: UInt32
  ) -> Header {
    let steps = increment == 0 || header.count == 0 ? 0 : later == 0 ? 1 : header.count - 1
    guard header.word & 1 << 12 == 0, header.method + 4 * steps <= MethodHeader.lastMethod else {
      return illegalHeader(channel, header.word)
    }
    fetch.method = header.method
    fetch.count = header.count
    fetch.increment = increment
    fetch.laterIncrement = later
    return .method
  }

  private func group0(
    _ channel: Channel, _ fetch: inout Channel.PushBufferFetch, _ header: MethodHeader
  ) -> Header {
    switch header.tertiary {
    case MethodHeader.DMA_TERT_OP_GRP0_INC_METHOD:
      fetch.method = header.oldMethod
      fetch.count = header.oldCount
      fetch.increment = 4
      fetch.laterIncrement = 4
    case MethodHeader.DMA_TERT_OP_GRP0_SET_SUB_DEV_MASK:
      channel.subdeviceMask = MethodHeader.DMA_SET_SUBDEVICE_MASK_VALUE.get(header.word)
    case MethodHeader.DMA_TERT_OP_GRP0_STORE_SUB_DEV_MASK:
      channel.storedSubdeviceMask = MethodHeader.DMA_SET_SUBDEVICE_MASK_VALUE.get(header.word)
    default:
      channel.subdeviceMask = channel.storedSubdeviceMask
    }
    return .method
  }

  private func illegalHeader(_ channel: Channel, _ word: UInt32) -> Header {
    headerShadow = word
    raise(channel, NV_PPBDMA.INTR_0_PBENTRY, .skip)
    return .error
  }
}
