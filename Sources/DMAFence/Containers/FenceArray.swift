import Base
import KernelRuntime

/// A fence over several others: signalled when all are, or when any is (`struct dma_fence_array`).
///
/// Its error is the first that a member brought while the array was pending.
public final class FenceArray: Fence {
  /// The members; none is a container itself.
  public let members: [Fence]
  /// Signalled by the first member, rather than by the last.
  public let signalsOnAny: Bool
  /// Members still to signal; below 0 when more came after the first of "any".
  private var pending: Int

  /// Makes an array of at least one fence (`dma_fence_array_create`).
  ///
  /// INVARIANT: members aren't containers, so that no operation recurses; flatten them first, as
  /// ``Fence/merge(_:in:)`` does.
  public init(
    _ contexts: FenceContexts, _ members: [Fence], context: UInt64? = nil, seqno: UInt64 = 1,
    signalsOnAny: Bool = false
  ) {
    invariant(!members.isEmpty, "a fence array without members")
    invariant(
      !members.contains { $0 is FenceArray || $0 is FenceChain }, "a container in a fence array")
    self.members = members
    self.signalsOnAny = signalsOnAny
    pending = signalsOnAny ? 1 : members.count
    super.init(
      container: contexts.kernel, context: context ?? contexts.allocate(), seqno: seqno,
      is64Bit: false)
    isBehindFaults = members.contains { $0.isBehindFaults }
  }

  override var currentDriverName: String { "dma_fence_array" }
  override var currentTimelineName: String { "unbound" }

  override func askToEnable() -> Bool {
    note()
    for member in members {
      let callback = member.addCallback { [self] in memberSignaled($0) }
      if callback == nil {
        if let error = member.error { adoptError(error) }
        pending -= 1
        if pending == 0 { return false }
      }
    }
    return true
  }

  /// LOCKING: runs under the member's lock, so the array's own signal is put off.
  private func memberSignaled(_ member: Fence) {
    note()
    if let error = member.error { adoptError(error) }
    pending -= 1
    if pending == 0 { kernel.irqWork { [self] in signal() } }
  }

  override func askWhetherSignaled() -> Bool {
    note(writing: false)
    if isSignalingEnabled { return pending <= 0 }
    var left = pending
    for member in members where member.isSignaled {
      left -= 1
      if left == 0 {
        adoptMemberError()
        return true
      }
    }
    return false
  }

  /// A peek finds the members done without their callbacks: the first error in order counts.
  private func adoptMemberError() {
    if let error = members.lazy.compactMap({ $0.isSignaledFlag ? $0.error : nil }).first {
      adoptError(error)
    }
  }

  override func passOnDeadline(_ time: UInt64) {
    for member in members { member.setDeadline(time) }
  }

  /// Whether every member is of `context` (`dma_fence_match_context`).
  public func isOf(context: UInt64) -> Bool { members.allSatisfy { $0.context == context } }
}
