import KernelRuntime

/// Who will end a fence that is waited for, for a detector of waits that only a time-out can end.
package enum FenceOutlook: Hashable, Sendable {
  /// The driver: the fence is done and about to be looked at, or its channel is being recovered.
  case driver
  /// The device, when the channel gets so far.
  case device(channel: UInt32)
  /// Nobody: it isn't pending any more, or its channel is dead.
  case nobody
}

extension NouveauDevice {
  /// Who will end the fence; nil when it is none of this device's live channels.
  package func outlook(ofFence seqno: UInt64, in context: UInt64) -> FenceOutlook? {
    for channel in fifo.liveChannels where channel.fences.context == context {
      if !fifo.recoveryQueue.isIdle { return .driver }
      return channel.fences.outlook(of: seqno, isKilled: channel.isKilled)
    }
    return nil
  }
}

extension FenceContext {
  fileprivate func outlook(of seqno: UInt64, isKilled: Bool) -> FenceOutlook {
    guard !isKilled, pendingNumbers.contains(seqno) else { return .nobody }
    return covers(seqno) ? .driver : .device(channel: channelID)
  }
}
