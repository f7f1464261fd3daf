import Base

/// What is about to happen to a range of a process's mappings (`struct mmu_notifier_range`).
public struct NotifierEvent {
  public enum Kind: String, Sendable, CaseIterable {
    /// `MMU_NOTIFY_UNMAP`: the range is unmapped.
    case unmap
    /// `MMU_NOTIFY_CLEAR`: entries are cleared for a reason of the core's own.
    case clear
    /// `MMU_NOTIFY_PROTECTION_VMA`: the mapping's protection changes.
    case protectionVMA
    /// `MMU_NOTIFY_PROTECTION_PAGE`: a page's protection changes.
    case protectionPage
    /// `MMU_NOTIFY_SOFT_DIRTY`: soft-dirty tracking restarts.
    case softDirty
    /// `MMU_NOTIFY_RELEASE`: the process ends.
    case release
    /// `MMU_NOTIFY_MIGRATE`: a driver migrates the range; its owner may ignore the event (R65).
    case migrate
    /// `MMU_NOTIFY_EXCLUSIVE`: exclusive access begins (with owner) or ends (without).
    case exclusive
  }

  public let kind: Kind
  public let range: VirtualRange
  /// Set for `migrate` and for the begin of `exclusive`.
  public let owner: PagemapOwner?
  /// Whether the callback may sleep.
  public let isBlockable: Bool

  public init(
    _ kind: Kind, _ range: VirtualRange, owner: PagemapOwner? = nil, isBlockable: Bool = true
  ) {
    self.kind = kind
    self.range = range
    self.owner = owner
    self.isBlockable = isBlockable
  }
}

/// What a mirror does when its range is about to change (`struct mmu_interval_notifier_ops`).
public protocol IntervalNotifierOperations: AnyObject {
  /// Stops every use of `event.range` by the device before it returns (R58), after
  /// ``IntervalNotifier/setSequence(_:)`` under the driver's lock (R62).
  ///
  /// Returns false only when `event.isBlockable` is false and it would have to sleep (R61).
  func invalidate(
    _ notifier: IntervalNotifier, _ event: NotifierEvent, _ sequence: UInt64
  ) async -> Bool
}

/// A subscription to all changes of one process (`struct mmu_notifier_ops`).
public protocol AddressSpaceNotifier: AnyObject {
  /// The range is about to change; the device must not use it when this returns.
  func invalidateRangeStart(_ space: AddressSpace, _ event: NotifierEvent) async
  /// As ``invalidateRangeStart(_:_:)`` for an event that may not block. False when the mirror would
  /// have to sleep: the change doesn't happen then, and no end follows (R61).
  func tryInvalidateRangeStart(_ space: AddressSpace, _ event: NotifierEvent) -> Bool
  /// The change is done.
  func invalidateRangeEnd(_ space: AddressSpace, _ event: NotifierEvent)
  /// The process ends: stop every secondary access before its pages are freed (R68).
  func release(_ space: AddressSpace) async
}

extension AddressSpaceNotifier {
  public func tryInvalidateRangeStart(_ space: AddressSpace, _ event: NotifierEvent) -> Bool {
    false
  }
  public func invalidateRangeEnd(_ space: AddressSpace, _ event: NotifierEvent) {}
  public func release(_ space: AddressSpace) async {}
}
