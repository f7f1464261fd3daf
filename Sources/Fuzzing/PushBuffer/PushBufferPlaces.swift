/// Where things lie in the fuzzed board's memory, and what its address space shows.
///
/// Video memory shows one to one from address 0; host memory from `host` on, page by page with
/// another kind of entry each; behind it a range without memory (sparse); beyond that nothing.
enum PushBufferPlaces {
  static let vramBytes: UInt64 = 2 << 20
  static let hostPages = 16

  // Video memory.
  static let directories: [UInt64] = [0x1000, 0x2000, 0x3000, 0x4000]
  static let hostTable: UInt64 = 0x5000
  static func instance(_ id: UInt32) -> UInt64 { 0x1_0000 + 0x1000 * UInt64(id) }
  static let userd: UInt64 = 0x1_8000
  static let runlist: UInt64 = 0x1_9000
  static func ring(_ id: UInt32) -> UInt64 { 0x2_0000 + 0x1000 * UInt64(id) }
  static func words(_ id: UInt32) -> UInt64 { 0x3_0000 + 0x1_0000 * UInt64(id) }
  static func context(_ id: UInt32) -> UInt64 { 0x8_0000 + 0x1000 * UInt64(id) }
  static let semaphore: UInt64 = 0x9_0000
  static let data: UInt64 = 0xa_0000

  // Virtual.
  static let host: UInt64 = 2 << 20
  static let sparse: UInt64 = 4 << 20

  /// Addresses where something is or ends.
  static let telling: [UInt64] = [
    0, 0x4, 0x1000, 0x4000, 0x5000, instance(1), userd + 0x28c, ring(1), words(1), words(1) + 0x100,
    context(1), semaphore, semaphore + 4, semaphore + 12, semaphore + 16, data, data + 1,
    data + 0x200,
    data + 0x8_0000, vramBytes - 0x1000, vramBytes - 4, vramBytes - 1, host, host + 0x1000,
    host + 0x2000, host + 0x3000, host + 0x4000, host + 0x5000, host + 0x6000, host + 0x7000,
    host + 0x8000, host + 0x9000, host + 0xfff, host + 0x1_0000, sparse, sparse + 0x1f_fff0,
    sparse + 0x20_0000, 1 << 32 - 4, 1 << 40 - 4, 1 << 40, 1 << 40 | 0x1000, 1 << 42, 1 << 47,
    1 << 49 - 4, 1 << 49,
  ]
}
