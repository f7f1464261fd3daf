package import Base

/// Which bus addresses the device can put out (`dma_set_mask`).
package struct DMAMask: Hashable, Sendable {
  package let bits: Int

  package init(bits: Int) { self.bits = bits }

  /// Whether `count` bytes at `address` are in reach.
  package func covers(_ address: DMAAddress, _ count: Int) -> Bool {
    let (end, overflow) = address.rawValue.addingReportingOverflow(UInt64(count))
    return !overflow && end <= 1 << UInt64(bits)
  }
}
