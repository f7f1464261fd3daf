import Base
import Testing

@testable import LinuxMM

@Suite struct PageTableEntryTests {
  private typealias Bit = PageTableEntry.Bit

  @Test func emptyEntry_isNothing() {
    #expect(PageTableEntry.none.isNone)
    #expect(PageTableEntry.none.location == .none)
    #expect(PageTableEntry.none.kind == nil)
    #expect(!PageTableEntry.none.isPresent && !PageTableEntry.none.isMigration)
  }

  @Test func zeroPage_isPresentReadOnly_andNoPageOfAnybody() {
    let entry = PageTableEntry.zeroPage
    #expect(entry.isPresent && !entry.isWritable)
    #expect(entry.location == .zero)
  }

  @Test(arguments: [
    PageTableEntry.Kind.swap, .migrationRead, .migrationReadExclusive, .migrationWrite,
    .deviceRead, .deviceWrite, .exclusiveRead, .exclusiveWrite, .poison, .marker,
  ])
  func kinds_keepFrameAndSoftwareBits(kind: PageTableEntry.Kind) {
    let bits = Bit.softDirty | Bit.userfaultWP | Bit.young | Bit.dirty
    for frame in [UInt64(1), 0x1ff, 0xff_ffff_ffff] {
      let entry = PageTableEntry.absent(kind, PFN(frame), bits)
      #expect(entry.kind == kind)
      #expect(entry.frame == PFN(frame))
      #expect(!entry.isPresent && !entry.isWritable && !entry.isNone)
      #expect(entry.isSoftDirty && entry.isUserfaultWriteProtected)
      #expect(entry.isYoung && entry.isDirty)
    }
  }

  @Test func encodings_areAsDocumented() {
    // Golden words: a change here changes recorded traces.
    #expect(PageTableEntry.present(PFN(5), Bit.write | Bit.dirty).rawValue == 0x5103)
    #expect(PageTableEntry.absent(.deviceWrite, PFN(5)).rawValue == 0x500c)
    #expect(PageTableEntry.absent(.deviceRead, PFN(5)).rawValue == 0x500a)
    #expect(PageTableEntry.absent(.migrationWrite, PFN(5), Bit.softDirty).rawValue == 0x5028)
    #expect(PageTableEntry.absent(.migrationRead, PFN(5)).rawValue == 0x5004)
  }

  @Test func kindTests_matchTheirKindsOnly() {
    for raw in UInt64(1)...10 {
      guard let kind = PageTableEntry.Kind(rawValue: raw) else {
        Issue.record("no kind \(raw)")
        continue
      }
      let entry = PageTableEntry.absent(kind, PFN(3))
      #expect(entry.isDevicePrivate == (kind == .deviceRead || kind == .deviceWrite))
      let migration: [PageTableEntry.Kind] = [
        .migrationRead, .migrationReadExclusive, .migrationWrite,
      ]
      #expect(entry.isMigration == migration.contains(kind))
    }
    #expect(!PageTableEntry.present(PFN(3), Bit.write).isMigration)
    #expect(!PageTableEntry.present(PFN(3), Bit.write).isDevicePrivate)
  }

  @Test func pageRecord_isAtMost64Bytes() {
    #expect(MemoryLayout<PageRecord>.stride <= 64)
  }

  @Test func anonymousPlace_keepsRegionAndIndex() {
    let place = AnonymousPlace(region: 12345, index: 1 << 35 | 77)
    #expect(place.region == 12345)
    #expect(place.index == 1 << 35 | 77)
    #expect(place != .none)
  }

  @Test func migratePFN_isEncodedAsIn6_12() {
    let word = MigratePFN(PFN(0x1234))
    #expect(word.rawValue == 0x1234 << 6 | 1)
    #expect(word.pfn == PFN(0x1234))
    #expect(word.isValid && !word.migrates && !word.isWritable)
    #expect(MigratePFN.empty.pfn == nil)
    // R11: an empty place takes part without naming a page.
    #expect(MigratePFN(rawValue: MigratePFN.migrate).pfn == nil)
    #expect(MigratePFN(rawValue: MigratePFN.migrate).migrates)
  }
}
