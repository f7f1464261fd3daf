import Base

/// The falcon's registers, memories and decode cache in raw memory.
///
/// UNSAFE: this file is where the falcon's raw memory is handled. Each accessor masks or checks its
/// index, so that its users need no `unsafe`. Raw memory, because the interpreter must reach a
/// hundred million instructions a second and a class's properties pay for exclusivity checks.
@safe
final class FalconStore {
  /// Sixteen general registers, then the slots of ``FalconMicroOp/Slot``, pc, and room for a mask.
  private let registers: UnsafeMutablePointer<UInt32>
  /// Cycle, limit, retired instructions.
  private let counters: UnsafeMutablePointer<UInt64>
  private let data: UnsafeMutableRawPointer
  private let code: UnsafeMutableRawPointer
  private let decodeCache: UnsafeMutablePointer<FalconMicroOp>
  private let cacheCount: Int
  /// Bytes of data memory, a power of two.
  let dataBytes: UInt32
  /// Bytes of code memory.
  let codeBytes: UInt32
  /// Valid bits of a virtual code address.
  let pcMask: UInt32

  private static let registerCount = 32
  private static let pcSlot = 18

  init(_ configuration: FalconConfiguration) {
    dataBytes = UInt32(configuration.dataBytes)
    codeBytes = UInt32(configuration.codeBytes)
    cacheCount = 0x100 << configuration.codePageBits
    pcMask = UInt32(cacheCount - 1)
    unsafe registers = .allocate(capacity: Self.registerCount)
    unsafe counters = .allocate(capacity: 4)
    unsafe data = .allocate(byteCount: configuration.dataBytes, alignment: 16)
    unsafe code = .allocate(byteCount: configuration.codeBytes, alignment: 16)
    unsafe decodeCache = .allocate(capacity: cacheCount)
    unsafe counters.initialize(repeating: 0, count: 4)
    unsafe decodeCache.initialize(repeating: .undecoded, count: cacheCount)
    _ = unsafe data.initializeMemory(
      as: UInt8.self, repeating: 0, count: configuration.dataBytes)
    _ = unsafe code.initializeMemory(
      as: UInt8.self, repeating: 0, count: configuration.codeBytes)
    unsafe registers.initialize(repeating: 0, count: Self.registerCount)
  }

  deinit {
    unsafe registers.deallocate()
    unsafe counters.deallocate()
    unsafe data.deallocate()
    unsafe code.deallocate()
    unsafe decodeCache.deallocate()
  }

  /// A register or slot.
  @inline(__always)
  subscript(register: UInt8) -> UInt32 {
    get { unsafe registers[Int(register & 31)] }
    set { unsafe registers[Int(register & 31)] = newValue }
  }

  @inline(__always)
  var pc: UInt32 {
    get { unsafe registers[Self.pcSlot] }
    set { unsafe registers[Self.pcSlot] = newValue & pcMask }
  }

  @inline(__always)
  var flags: UInt32 {
    get { self[FalconMicroOp.Slot.flags] }
    set { self[FalconMicroOp.Slot.flags] = newValue }
  }

  /// Always aligned to four bytes and inside data memory.
  @inline(__always)
  var stackPointer: UInt32 {
    get { self[FalconMicroOp.Slot.stackPointer] }
    set { self[FalconMicroOp.Slot.stackPointer] = newValue & (dataBytes - 4) }
  }

  /// Core cycles since the object was made.
  @inline(__always)
  var cycle: UInt64 {
    get { unsafe counters[0] }
    set { unsafe counters[0] = newValue }
  }

  /// The cycle at which the inner loop stops; zero stops it after the instruction that runs.
  @inline(__always)
  var limit: UInt64 {
    get { unsafe counters[1] }
    set { unsafe counters[1] = newValue }
  }

  /// Instructions that ran.
  @inline(__always)
  var retired: UInt64 {
    get { unsafe counters[2] }
    set { unsafe counters[2] = newValue }
  }

  /// The prepared instruction at a virtual address.
  @inline(__always)
  func microOp(at pc: UInt32) -> FalconMicroOp { unsafe decodeCache[Int(pc & pcMask)] }

  func setMicroOp(_ operation: FalconMicroOp, at pc: UInt32) {
    unsafe decodeCache[Int(pc & pcMask)] = operation
  }

  /// Forgets every prepared instruction: code or its mapping changed.
  func forgetMicroOps() {
    unsafe decodeCache.update(repeating: .undecoded, count: cacheCount)
  }
}

extension FalconStore {
  /// A little-endian word of data memory; the address is aligned down and wrapped.
  @inline(__always)
  func data32(_ address: UInt32) -> UInt32 {
    unsafe data.load(fromByteOffset: Int(address & (dataBytes - 4)), as: UInt32.self)
  }
  @inline(__always)
  func data16(_ address: UInt32) -> UInt32 {
    UInt32(unsafe data.load(fromByteOffset: Int(address & (dataBytes - 2)), as: UInt16.self))
  }
  @inline(__always)
  func data8(_ address: UInt32) -> UInt32 {
    UInt32(unsafe data.load(fromByteOffset: Int(address & (dataBytes - 1)), as: UInt8.self))
  }

  @inline(__always)
  func setData32(_ value: UInt32, at address: UInt32) {
    unsafe data.storeBytes(
      of: value, toByteOffset: Int(address & (dataBytes - 4)), as: UInt32.self)
  }
  @inline(__always)
  func setData16(_ value: UInt32, at address: UInt32) {
    unsafe data.storeBytes(
      of: UInt16(truncatingIfNeeded: value), toByteOffset: Int(address & (dataBytes - 2)),
      as: UInt16.self)
  }
  @inline(__always)
  func setData8(_ value: UInt32, at address: UInt32) {
    unsafe data.storeBytes(
      of: UInt8(truncatingIfNeeded: value), toByteOffset: Int(address & (dataBytes - 1)),
      as: UInt8.self)
  }

  /// A word of code memory by physical address, which must lie inside.
  func code32(_ address: UInt32) -> UInt32 {
    invariant(address & 3 == 0 && address < codeBytes, "code word at \(address)")
    return unsafe code.load(fromByteOffset: Int(address), as: UInt32.self)
  }

  /// A byte of code memory by physical address, which must lie inside.
  func code8(_ address: UInt32) -> UInt8 {
    invariant(address < codeBytes, "code byte at \(address)")
    return unsafe code.load(fromByteOffset: Int(address), as: UInt8.self)
  }

  func setCode32(_ value: UInt32, at address: UInt32) {
    invariant(address & 3 == 0 && address < codeBytes, "code word at \(address)")
    unsafe code.storeBytes(of: value, toByteOffset: Int(address), as: UInt32.self)
  }
}
