import Base
import KernelRuntime
import NVHardware

extension PBDMA {
  /// SEMAPHORED: executes with the address and payload of A to C.
  func semaphore(_ channel: Channel, _ context: InstanceContext, _ method: Channel.Method)
    -> MethodOutcome
  {
    typealias C = ClassC06F
    let address = UInt64(channel.semaphore[0]) << 32 | UInt64(channel.semaphore[1])
    switch C.SEMAPHORED_OPERATION.get(method.data) {
    case C.SEMAPHORED_OPERATION_RELEASE:
      return release(channel, context, method, address)
    case C.SEMAPHORED_OPERATION_REDUCTION:
      return reduce(channel, context, method, address)
    case C.SEMAPHORED_OPERATION_ACQUIRE:
      return acquire(channel, context, method, address) { $0 == $1 }
    case C.SEMAPHORED_OPERATION_ACQ_GEQ:
      // Circular: the difference as a signed number.
      return acquire(channel, context, method, address) { Int32(bitPattern: $0 &- $1) >= 0 }
    case C.SEMAPHORED_OPERATION_ACQ_AND:
      return acquire(channel, context, method, address) { $0 & $1 != 0 }
    default:
      return stopOn(channel, method, NV_PPBDMA.INTR_0_SEMAPHORE)
    }
  }

  private func waitsForIdle(_ method: Channel.Method) -> Bool {
    ClassC06F.SEMAPHORED_RELEASE_WFI.get(method.data) == ClassC06F.SEMAPHORED_RELEASE_WFI_EN
      && !engineIsIdle
  }

  private func release(
    _ channel: Channel, _ context: InstanceContext, _ method: Channel.Method, _ address: UInt64
  ) -> MethodOutcome {
    typealias C = ClassC06F
    if waitsForIdle(method) { return .wait(.engine) }
    let isLong =
      C.SEMAPHORED_RELEASE_SIZE.get(method.data) == C.SEMAPHORED_RELEASE_SIZE_16BYTE
    if isLong, address % 16 != 0 { return stopOn(channel, method, NV_PPBDMA.INTR_0_SEMAPHORE) }
    var value = channel.semaphore[2]
    let failures = board.kernel.failures
    let faults = board.faults
    if let due = channel.releaseAt {
      if board.kernel.now < due { return .wait(.delay(until: due)) }
      channel.releaseAt = nil
    } else {
      if failures.fires(.fenceStall) { return .done }
      if failures.fires(.fenceLate) {
        channel.releaseAt = board.kernel.now &+ faults.lateFence
        return .wait(.delay(until: board.kernel.now &+ faults.lateFence))
      }
      if failures.fires(.fenceWrongValue) { value &+= faults.wrongFenceOffset }
      if failures.fires(.interruptEarly) {
        interrupts.raise(NV_PFIFO.INTR_0_CHANNEL_INTR)
        channel.releaseAt = board.kernel.now &+ faults.earlyInterruptLead
        return .wait(.delay(until: board.kernel.now &+ faults.earlyInterruptLead))
      }
    }
    return store(channel, context, address, value, withTimestamp: isLong)
  }

  private func reduce(
    _ channel: Channel, _ context: InstanceContext, _ method: Channel.Method, _ address: UInt64
  ) -> MethodOutcome {
    typealias C = ClassC06F
    if waitsForIdle(method) { return .wait(.engine) }
    guard let reduction = SemaphoreReduction(rawValue: C.SEMAPHORED_REDUCTION.get(method.data))
    else {
      return stopOn(channel, method, NV_PPBDMA.INTR_0_SEMAPHORE)
    }
    let memory = SemaphoreMemory(board: board, context: context)
    do throws(CopyFault) {
      let old = try memory.load(address)
      let value = reduction.apply(
        to: old, channel.semaphore[2], isSigned: C.SEMAPHORED_FORMAT.get(method.data) == 0)
      return store(channel, context, address, value, withTimestamp: false)
    } catch {
      fault(channel, context.instance, error.address, error.type, error.access)
      return .wait(.stopped)
    }
  }

  private func store(
    _ channel: Channel, _ context: InstanceContext, _ address: UInt64, _ value: UInt32,
    withTimestamp: Bool
  ) -> MethodOutcome {
    do throws(CopyFault) {
      try SemaphoreMemory(board: board, context: context).release(
        address, value, withTimestamp: withTimestamp)
    } catch {
      fault(channel, context.instance, error.address, error.type, error.access)
      return .wait(.stopped)
    }
    board.kernel.trace.record(
      .release, UInt64(channel.id), address, UInt64(value), on: agent.row)
    board.semaphoreWritten()
    return .done
  }

  private func acquire(
    _ channel: Channel, _ context: InstanceContext, _ method: Channel.Method, _ address: UInt64,
    _ isSatisfied: (UInt32, UInt32) -> Bool
  ) -> MethodOutcome {
    let now = board.kernel.now
    do throws(CopyFault) {
      let value = try SemaphoreMemory(board: board, context: context).load(address)
      if isSatisfied(value, channel.semaphore[2]) {
        channel.acquireStart = nil
        channel.acquireNextTry = nil
        board.kernel.trace.record(
          .acquire, UInt64(channel.id), address, UInt64(value), on: agent.row)
        return .done
      }
    } catch {
      fault(channel, context.instance, error.address, error.type, error.access)
      return .wait(.stopped)
    }
    if let start = channel.acquireStart {
      if let limit = channel.acquireTimeout, now &- start >= limit {
        channel.acquireStart = nil
        channel.acquireNextTry = nil
        return stopOn(channel, method, NV_PPBDMA.INTR_0_ACQUIRE)
      }
    } else {
      channel.acquireStart = now
      channel.acquireRetry = channel.acquireRetryPeriod
    }
    channel.isAcquirePoked = false
    if channel.acquireNextTry.map({ now >= $0 }) ?? true {
      channel.acquireNextTry = now &+ channel.acquireRetry
      wake(after: channel.acquireRetry)
      // Polling gets rarer: what has taken long is not worth a look each few microseconds.
      channel.acquireRetry = min(channel.acquireRetry * 2, 10_000_000)
    }
    return .wait(
      .acquire(mayYield: ClassC06F.SEMAPHORED_ACQUIRE_SWITCH.get(method.data) == 1))
  }
}

extension Channel {
  /// SOURCE: open-gpu-doc dev_pbdma, NV_PPBDMA_ACQUIRE: mantissa << exponent, in units of 1024 ns.
  var acquireRetryPeriod: UInt64 {
    let mantissa = UInt64(NV_RAMFC.ACQUIRE_RETRY_MAN.get(acquireWord))
    return max(1, mantissa << UInt64(NV_RAMFC.ACQUIRE_RETRY_EXP.get(acquireWord))) * 1024
  }

  /// Nil: no time-out.
  var acquireTimeout: UInt64? {
    guard NV_RAMFC.ACQUIRE_TIMEOUT_EN.get(acquireWord) == 1 else { return nil }
    let mantissa = UInt64(NV_RAMFC.ACQUIRE_TIMEOUT_MAN.get(acquireWord))
    return (mantissa << UInt64(NV_RAMFC.ACQUIRE_TIMEOUT_EXP.get(acquireWord))) * 1024
  }
}
