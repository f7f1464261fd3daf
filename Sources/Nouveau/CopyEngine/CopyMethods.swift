package import Base

/// Where a copy reads or writes.
package enum CopyAddress: Hashable, Sendable {
  /// Physical VRAM; needs a privileged channel.
  case vram(VRAMAddress)
  /// A bus address of system memory; needs a privileged channel.
  case host(DMAAddress)
  /// An address of the channel's address space.
  case virtual(GPUVirtualAddress)

  var rawValue: UInt64 {
    switch self {
    case .vram(let address): address.rawValue
    case .host(let address): address.rawValue
    case .virtual(let address): address.rawValue
    }
  }
}

/// The methods of one copy class: one conforming type a file.
package protocol CopyMethods: Sendable {
  var classID: UInt32 { get }
  var subchannel: UInt32 { get }
  /// Dwords that a copy takes at most.
  var copyDwords: Int { get }
  /// Dwords that a clear takes at most.
  var clearDwords: Int { get }
  /// The longest run that ``clear(_:to:bytes:)`` takes; a multiple of the page size.
  var maximumClear: UInt64 { get }
  /// The class knows addresses of the channel's address space only.
  var needsVirtualAddresses: Bool { get }
  /// The most pages that ``copyPages(_:from:to:pages:)`` takes.
  var maximumCopyPages: Int { get }
  /// Copies `lines` lines of `lineBytes`, which lie `pitch` bytes apart on both sides.
  func copy(
    _ writer: inout PushWriter, from: CopyAddress, to: CopyAddress, lineBytes: UInt32,
    lines: UInt32, pitch: UInt32)
  /// Sets `bytes`, a multiple of 8, to zero.
  func clear(_ writer: inout PushWriter, to: CopyAddress, bytes: UInt64)
}

extension CopyMethods {
  package var needsVirtualAddresses: Bool { false }
  package var maximumCopyPages: Int { .max }

  /// Copies `pages` contiguous pages.
  ///
  /// Kernel: nvc0b5_migrate_copy (nouveau_dmem.c)
  package func copyPages(
    _ writer: inout PushWriter, from: CopyAddress, to: CopyAddress, pages: Int
  ) {
    let page = UInt32(PageSize.bytes)
    copy(&writer, from: from, to: to, lineBytes: page, lines: UInt32(pages), pitch: page)
  }
}
