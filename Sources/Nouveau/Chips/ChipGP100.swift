package import Base
import NVHardware

/// GP100, the first Pascal (`nv130_chipset`).
package struct ChipGP100: ChipProfile {
  package init() {}

  package var chipset: UInt32 { 0x130 }
  package var name: String { "GP100" }
  // SOURCE: nvkm/subdev/mmu/gp100.c: dma_bits 47.
  package var dmaBits: Int { 47 }
  package var channelClass: UInt32 { ClassC06F.classID }
  package var copyMethods: any CopyMethods { CopyEngineC0B5() }

  /// Kernel: gm107_devinit_disable, nvkm_devinit_post (nvkm/subdev/devinit)
  package func isPosted(_ registers: RegisterAccess) -> Bool {
    NV_FUSE.DEVINIT_STATUS_POSTED.get(registers.read(NV_FUSE.DEVINIT_STATUS)) != 0
  }

  /// Adds up the sizes behind each partition's memory controllers (FBPA); the partitions' caches
  /// (LTC) tell whether they are equally large.
  ///
  /// Kernel: gf100_ram_ctor, gm200_ram_probe_fbp_amount (nvkm/subdev/fb/ramgf100.c, ramgm200.c)
  package func probeVRAM(_ registers: RegisterAccess) throws(KernelError) -> VRAMLayout {
    typealias P = NV_PFB_TOPOLOGY
    let partitions = P.NUM_FBPS_VALUE.get(registers.read(P.NUM_FBPS))
    let controllers = registers.read(P.FBPAS_PER_FBP)
    let caches = registers.read(P.LTCS_PER_FBP)
    let disabledPartitions = registers.read(P.FBP_DISABLE)
    let disabledControllers = registers.read(P.FBPA_DISABLE)
    guard controllers <= 16, caches <= 16, partitions <= 31 else { throw .EIO }
    var total: UInt64 = 0
    var cacheCount: UInt64 = 0
    /// What every cache serves at least, in units of a controller's size.
    var common = UInt64.max
    for partition in 0..<partitions where disabledPartitions >> partition & 1 == 0 {
      var units: UInt64 = 0
      for index in 0..<controllers {
        let controller = partition * controllers + index
        guard controller < 32, disabledControllers >> controller & 1 == 0 else { continue }
        units += UInt64(registers.read(P.FBPA_SIZE(controller)))
      }
      guard units > 0 else { continue }
      let disabledCaches = registers.read(P.LTC_DISABLE(partition))
      let live = UInt64((~disabledCaches & (1 << caches - 1)).nonzeroBitCount)
      guard live > 0 else { throw .EIO }
      common = min(common, units / live)
      cacheCount += live
      total += units
    }
    guard total > 0 else { throw .EIO }
    let unit = P.FBPA_SIZE_UNIT
    return VRAMLayout(
      total: total * unit, lower: common * cacheCount * unit,
      upperBase: common * unit + VRAMLayout.upperOffset)
  }

  /// Kernel: gf100_fb_sysmem_flush_page_init, gp100_fb_init_remapper, gp100_fb_init_unkn
  /// (nvkm/subdev/fb/gf100.c, gp100.c)
  package func initializeMemoryHub(_ registers: RegisterAccess, flushPage: DMAAddress) {
    typealias P = NV_PFB
    registers.write(
      P.NISO_FLUSH_SYSMEM_ADDR, UInt32(truncatingIfNeeded: flushPage.rawValue >> 8))
    registers.modify(P.HSHUB_REMAP, P.HSHUB_REMAP_ENABLE.make32(1), 0)
    registers.write(P.GPC_MMU_CTRL, registers.read(P.PRI_MMU_CTRL))
    registers.write(P.GPC_MMU_PHYS_SECURE, registers.read(P.PRI_MMU_PHYS_SECURE))
    registers.write(P.GPC_MMU_DEBUG_WR, registers.read(P.PRI_MMU_DEBUG_WR))
    registers.write(P.GPC_MMU_DEBUG_RD, registers.read(P.PRI_MMU_DEBUG_RD))
  }
}
