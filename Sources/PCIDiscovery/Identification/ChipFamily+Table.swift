extension ChipFamily {
  /// Every chip that this project can name, newest architectures last.
  ///
  /// SOURCE: ranges up to GM107: envytools docs/hw/pciid.rst. GP100 and GV100 lower bounds and the
  /// Turing ranges: NVIDIA's open-gpu-doc, ID_DEVICE_CHIP in dev_nv_xve3g_fn0. Ranges marked
  /// `.observed`: the boards in the pci.ids database of 2023-04-11, widened to the block of 64 ids
  /// in which they lie. Chipset numbers: the names in nouveau's table of Linux 6.12.
  public static let table: [ChipFamily] =
    curie + tesla + fermi + kepler + maxwell + pascal + volta + turing + ampere + ada + hopper

  private static let curie = [
    ChipFamily("NV40", "Curie", 0x40, 0x0040...0x004f),
    ChipFamily("G70", "Curie", 0x47, 0x0090...0x009f),
    ChipFamily("NV41", "Curie", 0x41, 0x00c0...0x00cf),
    ChipFamily("NV43", "Curie", 0x43, 0x0140...0x014f),
    ChipFamily("NV44", "Curie", 0x44, 0x0160...0x016f),
    ChipFamily("G72", "Curie", 0x46, 0x01d0...0x01df),
    ChipFamily("NV44A", "Curie", 0x4a, 0x0220...0x022f),
    ChipFamily("C51", "Curie", 0x4e, 0x0240...0x024f),
    ChipFamily("G71", "Curie", 0x49, 0x0290...0x029f),
    ChipFamily("G73", "Curie", 0x4b, 0x0390...0x039f),
    ChipFamily("C61", "Curie", 0x4c, 0x03d0...0x03df),
  ]

  private static let tesla = [
    ChipFamily("G80", "Tesla", 0x50, 0x0190...0x019f),
    ChipFamily("G84", "Tesla", 0x84, 0x0400...0x040f),
    ChipFamily("G92", "Tesla", 0x92, 0x0410...0x041f),
    ChipFamily("G86", "Tesla", 0x86, 0x0420...0x042f),
    ChipFamily("GT200", "Tesla", 0xa0, 0x05e0...0x05ff),
    ChipFamily("G92", "Tesla", 0x92, 0x0600...0x061f),
    ChipFamily("G94", "Tesla", 0x94, 0x0620...0x063f),
    ChipFamily("G96", "Tesla", 0x96, 0x0640...0x065f),
    ChipFamily("G98", "Tesla", 0x98, 0x06e0...0x06ff),
    ChipFamily("MCP77", "Tesla", 0xaa, 0x0840...0x085f),
    ChipFamily("MCP79", "Tesla", 0xac, 0x0860...0x087f),
    ChipFamily("MCP89", "Tesla", 0xaf, 0x08a0...0x08bf),
    ChipFamily("GT216", "Tesla", 0xa5, 0x0a20...0x0a3f),
    ChipFamily("GT218", "Tesla", 0xa8, 0x0a60...0x0a7f),
    ChipFamily("GT215", "Tesla", 0xa3, 0x0ca0...0x0cbf),
    ChipFamily("GT218", "Tesla", 0xa8, 0x10c0...0x10df),
  ]

  private static let fermi = [
    ChipFamily("GF100", "Fermi", 0xc0, 0x06c0...0x06df),
    ChipFamily("GF106", "Fermi", 0xc3, 0x0dc0...0x0ddf),
    ChipFamily("GF108", "Fermi", 0xc1, 0x0de0...0x0dff),
    ChipFamily("GF104", "Fermi", 0xc4, 0x0e20...0x0e3f),
    ChipFamily("GF108", "Fermi", 0xc1, 0x0f00...0x0f1f),
    ChipFamily("GF119", "Fermi", 0xd9, 0x1040...0x107f),
    ChipFamily("GF110", "Fermi", 0xc8, 0x1080...0x109f),
    ChipFamily("GF117", "Fermi", 0xd7, 0x1140...0x117f),
    ChipFamily("GF114", "Fermi", 0xce, 0x1200...0x121f),
    ChipFamily("GF116", "Fermi", 0xcf, 0x1240...0x125f),
  ]

  private static let kepler = [
    ChipFamily("GK107", "Kepler", 0xe7, 0x0fc0...0x0fff),
    // GK110 and GK110B share these ids; only PMC_BOOT_0 tells them apart.
    ChipFamily("GK110", "Kepler", 0xf0, 0x1000...0x103f),
    ChipFamily("GK104", "Kepler", 0xe4, 0x1180...0x11bf),
    ChipFamily("GK106", "Kepler", 0xe6, 0x11c0...0x11ff),
    ChipFamily("GK208", "Kepler", 0x108, 0x1280...0x12bf),
  ]

  private static let maxwell = [
    ChipFamily("GM108", "Maxwell", 0x118, 0x1340...0x137f, .observed),
    ChipFamily("GM107", "Maxwell", 0x117, 0x1380...0x13bf),
    ChipFamily("GM204", "Maxwell", 0x124, 0x13c0...0x13ff, .observed),
    ChipFamily("GM206", "Maxwell", 0x126, 0x1400...0x143f, .observed),
    ChipFamily("GM204", "Maxwell", 0x124, 0x1600...0x167f, .observed),
    ChipFamily("GM108", "Maxwell", 0x118, 0x1740...0x177f, .observed),
    ChipFamily("GM107", "Maxwell", 0x117, 0x1780...0x17bf, .observed),
    ChipFamily("GM200", "Maxwell", 0x120, 0x17c0...0x17ff, .observed),
  ]

  private static let pascal = [
    ChipFamily("GP100", "Pascal", 0x130, 0x15c0...0x15ff, .observed),
    ChipFamily("GP100", "Pascal", 0x130, 0x1700...0x173f, .observed),
    ChipFamily("GP102", "Pascal", 0x132, 0x1b00...0x1b7f, .observed),
    ChipFamily("GP104", "Pascal", 0x134, 0x1b80...0x1bff, .observed),
    ChipFamily("GP106", "Pascal", 0x136, 0x1c00...0x1c7f, .observed),
    ChipFamily("GP107", "Pascal", 0x137, 0x1c80...0x1cff, .observed),
    ChipFamily("GP108", "Pascal", 0x138, 0x1d00...0x1d7f, .observed),
  ]

  private static let volta = [ChipFamily("GV100", "Volta", 0x140, 0x1d80...0x1dff, .observed)]

  private static let turing = [
    ChipFamily("TU102", "Turing", 0x162, 0x1e00...0x1e7f),
    ChipFamily("TU104", "Turing", 0x164, 0x1e80...0x1eff),
    ChipFamily("TU106", "Turing", 0x166, 0x1f00...0x1f7f),
    ChipFamily("TU117", "Turing", 0x167, 0x1f80...0x1fff),
    ChipFamily("TU116", "Turing", 0x168, 0x2180...0x21ff),
  ]

  private static let ampere = [
    ChipFamily("GA100", "Ampere", 0x170, 0x2080...0x20ff, .observed),
    ChipFamily("GA102", "Ampere", 0x172, 0x2200...0x227f, .observed),
    ChipFamily("GA103", "Ampere", 0x173, 0x2400...0x247f, .observed),
    ChipFamily("GA104", "Ampere", 0x174, 0x2480...0x24ff, .observed),
    ChipFamily("GA106", "Ampere", 0x176, 0x2500...0x257f, .observed),
    ChipFamily("GA107", "Ampere", 0x177, 0x2580...0x25ff, .observed),
  ]

  private static let ada = [
    ChipFamily("AD102", "Ada", 0x192, 0x2680...0x26ff, .observed),
    ChipFamily("AD103", "Ada", 0x193, 0x2700...0x277f, .observed),
    ChipFamily("AD104", "Ada", 0x194, 0x2780...0x27ff, .observed),
    ChipFamily("AD106", "Ada", 0x196, 0x2800...0x287f, .observed),
    ChipFamily("AD107", "Ada", 0x197, 0x2880...0x28ff, .observed),
  ]

  private static let hopper = [ChipFamily("GH100", "Hopper", nil, 0x2300...0x233f, .observed)]
}
