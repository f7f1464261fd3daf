/// A 64-bit address or number of one kind; kinds don't mix.
///
/// Virtual, physical, bus and VRAM addresses of one page differ, and the expensive mistakes of such
/// drivers are made by taking one for another. Arithmetic stays inside the kind; a conversion is
/// spelled out where the mapping is known.
public protocol AddressKind: RawRepresentable, Hashable, Comparable, Sendable,
  CustomStringConvertible
where RawValue == UInt64 {
  init(rawValue: UInt64)
}

extension AddressKind {
  @inlinable
  public init(_ value: UInt64) { self.init(rawValue: value) }
  @inlinable
  public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  /// The address `offset` units further; traps on overflow.
  @inlinable
  public static func + (a: Self, offset: UInt64) -> Self { Self(rawValue: a.rawValue + offset) }
  @inlinable
  public static func + (a: Self, offset: Int) -> Self {
    Self(rawValue: UInt64(Int64(bitPattern: a.rawValue) + Int64(offset)))
  }
  @inlinable
  public static func - (a: Self, offset: UInt64) -> Self { Self(rawValue: a.rawValue - offset) }
  /// The distance from `b` up to `a`; traps when `b` is higher.
  @inlinable
  public static func - (a: Self, b: Self) -> UInt64 { a.rawValue - b.rawValue }
  @inlinable
  public static func += (a: inout Self, offset: UInt64) { a = a + offset }
  public var description: String { "0x" + String(rawValue, radix: 16) }
}

/// An address kind measured in bytes.
public protocol ByteAddress: AddressKind {}

extension ByteAddress {
  /// Bytes past the start of the page that holds this address.
  @inlinable
  public var pageOffset: Int { Int(rawValue & UInt64(PageSize.bytes - 1)) }
  /// Whether the address is the first of a page.
  @inlinable
  public var isPageAligned: Bool { rawValue & UInt64(PageSize.bytes - 1) == 0 }
  /// The first address of the page that holds this one.
  @inlinable
  public var pageBase: Self { Self(rawValue: rawValue & ~UInt64(PageSize.bytes - 1)) }
  /// Whether the address is a multiple of `alignment`, a power of two.
  @inlinable
  public func isAligned(to alignment: UInt64) -> Bool { rawValue & (alignment - 1) == 0 }
}

/// Sizes of the base page and the huge page of x86-64.
public enum PageSize {
  /// log2 of the bytes in a page.
  public static let shift: Int = 12
  /// Bytes in a page.
  public static let bytes: Int = 4096
  /// Bytes mapped by one PMD entry.
  public static let hugeBytes: Int = 2 << 20
  /// Base pages in a PMD-mapped huge page.
  public static let pagesPerHuge: Int = 512
  /// Pages that hold `count` bytes, rounded up.
  @inlinable
  public static func pages(forBytes count: UInt64) -> UInt64 {
    (count + UInt64(bytes - 1)) >> UInt64(shift)
  }
}

/// A page frame number: a physical address divided by the page size.
@frozen
public struct PFN: AddressKind {
  public let rawValue: UInt64
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  /// The number as an index into a table by PFN.
  @inlinable
  public var index: Int { Int(truncatingIfNeeded: rawValue) }
  /// The physical address of the frame's first byte.
  @inlinable
  public var physical: PhysicalAddress { PhysicalAddress(rawValue << UInt64(PageSize.shift)) }
}

/// An address on the host's physical bus, as the CPU sees it.
@frozen
public struct PhysicalAddress: ByteAddress {
  public let rawValue: UInt64
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  @inlinable
  public var pfn: PFN { PFN(rawValue >> UInt64(PageSize.shift)) }
}

/// A process's virtual address.
@frozen
public struct VirtualAddress: ByteAddress {
  public let rawValue: UInt64
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  /// The virtual page number.
  @inlinable
  public var page: UInt64 { rawValue >> UInt64(PageSize.shift) }
}

/// An address that a device puts on the bus to reach host memory.
@frozen
public struct DMAAddress: ByteAddress {
  public let rawValue: UInt64
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// An offset into a GPU's video memory.
@frozen
public struct VRAMAddress: ByteAddress {
  public let rawValue: UInt64
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// An address in a GPU virtual address space (49 bits on Pascal).
@frozen
public struct GPUVirtualAddress: ByteAddress {
  public let rawValue: UInt64
  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }
}
