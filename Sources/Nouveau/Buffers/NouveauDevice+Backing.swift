extension NouveauDevice {
  /// Pages of system memory that hold buffers' bytes while the device sleeps; for audits.
  package var backingPages: Int {
    buffers.buffers.reduce(0) { $0 + ($1.backing?.pages.count ?? 0) }
  }
}
