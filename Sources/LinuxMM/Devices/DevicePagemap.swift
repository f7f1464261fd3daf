public import Base
import KernelRuntime

/// A run of page frames.
@frozen
public struct PFNRange: Hashable, Sendable, CustomStringConvertible {
  public let start: PFN
  /// Frames in the run.
  public let count: Int

  @inlinable
  public init(start: PFN, count: Int) {
    self.start = start
    self.count = count
  }

  /// The first frame past the run.
  @inlinable
  public var end: PFN { start + UInt64(count) }
  public func contains(_ pfn: PFN) -> Bool { start <= pfn && pfn < end }
  public func overlaps(_ other: PFNRange) -> Bool { start < other.end && other.start < end }
  public var description: String { "pfn \(start)+\(count)" }
}

/// The identity by which a driver recognises its own device pages (`pgmap->owner`).
public final class PagemapOwner {
  public let name: String
  public init(_ name: String) { self.name = name }
}

/// What a driver of device memory provides (`struct dev_pagemap_ops`).
public protocol DevicePagemapOperations: AnyObject {
  /// The last reference of `pfn` is gone; the driver may hand the page out again.
  ///
  /// LOCKING: atomic context.
  func pageFree(_ pfn: PFN)

  /// The same of pages in a row; a driver with much to do for each may do it at once.
  func pagesFree(_ range: PFNRange)

  /// A huge page of 512 device pages is now single pages, of which some may be freed next; each
  /// goes back through ``pageFree(_:)`` alone (`folio_split`).
  ///
  /// LOCKING: atomic context.
  func folioSplit(_ range: PFNRange)

  /// A CPU touched a device-private page: bring it back, or say why not. Coherent memory is never
  /// asked.
  ///
  /// LOCKING: called with the process's `mmapLock` held for reading, and with one reference and the
  /// lock of `fault.page`; pass that page as the migration's `faultPage`.
  func migrateToRAM(_ fault: DeviceFault) async -> FaultOutcome
}

extension DevicePagemapOperations {
  public func folioSplit(_ range: PFNRange) {}

  public func pagesFree(_ range: PFNRange) {
    for index in 0..<range.count { pageFree(range.start + index) }
  }
}

/// A CPU access to a device-private page (`struct vm_fault`).
public struct DeviceFault {
  public let space: AddressSpace
  /// The first address of the page that was touched.
  public let address: VirtualAddress
  /// The device page, locked and referenced by the fault handler; of a huge page the first.
  public let page: PFN
  /// log2 of the pages that one entry maps there: 9 for a huge page, to be brought back whole or in
  /// parts.
  public let order: Int
}

/// How a device fault ended (`vm_fault_t`).
public enum FaultOutcome: Hashable, Sendable {
  /// The access is tried again (`0`).
  case done
  /// The access is tried again after others have run (`VM_FAULT_RETRY`).
  case retry
  /// The access gets SIGBUS; the error says why.
  case sigbus(KernelError)
  /// `VM_FAULT_OOM`.
  case outOfMemory
}

/// A range of device memory with page metadata (`struct dev_pagemap`).
public final class DevicePagemap {
  public enum Kind: String, Sendable {
    /// The CPU can't reach the bytes (`MEMORY_DEVICE_PRIVATE`).
    case devicePrivate
    /// The CPU and the device share the bytes (`MEMORY_DEVICE_COHERENT`).
    case deviceCoherent
  }

  public let kind: Kind
  public let range: PFNRange
  public let owner: PagemapOwner
  public let operations: any DevicePagemapOperations
  /// The bytes of a coherent range, which CPU and device share, one page after the other; nil for a
  /// private one, whose bytes are the device's own matter.
  public let memory: MappedMemory?
  /// GUP pins of each page, once there is one: only coherent pages can have them.
  private var pinCounts: [UInt32] = []

  enum State {
    case unmapped
    case live
    case dying
  }

  var state = State.unmapped
  /// Its number in the page records while mapped; 0 otherwise.
  var number: UInt32 = 0
  var uses = 0
  /// Pages in use, plus lookups in progress (`pgmap->ref`).
  public var references: Int { uses }
  /// Wakes the unmapping task when the last reference goes; made anew at each mapping (G04).
  var drained: WaitQueue?

  /// - Parameter memory: the bytes of a coherent range.
  public init(
    kind: Kind, range: PFNRange, owner: PagemapOwner, operations: any DevicePagemapOperations,
    memory: MappedMemory? = nil
  ) {
    self.kind = kind
    self.range = range
    self.owner = owner
    self.operations = operations
    self.memory = memory
  }

  func pins(_ pfn: PFN) -> Int {
    pinCounts.isEmpty ? 0 : Int(pinCounts[pfn.index - range.start.index])
  }

  func setPins(_ pfn: PFN, _ count: Int) {
    if pinCounts.isEmpty { pinCounts = [UInt32](repeating: 0, count: range.count) }
    pinCounts[pfn.index - range.start.index] = UInt32(count)
  }

  /// Whether pages may be handed out.
  public var isLive: Bool { state == .live }
}
