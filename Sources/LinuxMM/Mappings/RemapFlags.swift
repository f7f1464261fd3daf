/// How a mapping may be resized or moved (`MREMAP_*`).
public struct RemapFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// `MREMAP_MAYMOVE`: elsewhere, when there is no room to grow.
  public static let mayMove = RemapFlags(rawValue: 1)
  /// `MREMAP_FIXED`: to the address given, in place of what is mapped there.
  public static let fixed = RemapFlags(rawValue: 2)
  /// `MREMAP_DONTUNMAP`: the old mapping stays, without its pages.
  public static let dontUnmap = RemapFlags(rawValue: 4)
}
