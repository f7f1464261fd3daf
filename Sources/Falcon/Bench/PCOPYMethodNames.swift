/// The methods of class 90B5 by name.
///
/// SOURCE: envytools rnndb/fifo/pcopy.xml; the dispatch table of nouveau's com.fuc.
public enum PCOPYMethodNames {
  /// In order of their byte offsets.
  public static let all: [(offset: UInt32, name: String)] =
    [(0x000, "NAME"), (0x100, "NOP"), (0x140, "PM_TRIGGER")]
    + surface(0x200, "SRC") + surface(0x220, "DST") + [
      (0x300, "EXEC"), (0x304, "WRCACHE_FLUSH"), (0x30c, "SRC_ADDRESS_HIGH"),
      (0x310, "SRC_ADDRESS_LOW"), (0x314, "DST_ADDRESS_HIGH"), (0x318, "DST_ADDRESS_LOW"),
      (0x31c, "SRC_PITCH"), (0x320, "DST_PITCH"), (0x324, "XCNT"), (0x328, "YCNT"),
      (0x32c, "FORMAT"), (0x330, "SWZ_CONST0"), (0x334, "SWZ_CONST1"),
      (0x338, "QUERY_ADDRESS_HIGH"), (0x33c, "QUERY_ADDRESS_LOW"), (0x340, "QUERY_COUNTER"),
    ]

  private static func surface(_ first: UInt32, _ side: String) -> [(offset: UInt32, name: String)] {
    ["TILE_MODE", "XSIZE", "YSIZE", "ZSIZE", "ZOFF", "XOFF", "YOFF"].enumerated().map {
      (first + UInt32($0.offset) * 4, "\(side)_\($0.element)")
    }
  }

  public static func name(of offset: UInt32) -> String? {
    all.first { $0.offset == offset }?.name
  }

  public static func offset(of name: String) -> UInt32? {
    all.first { $0.name == name }?.offset
  }
}
