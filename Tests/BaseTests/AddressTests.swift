import Base
import Testing

@Suite struct AddressTests {
  @Test func arithmetic_staysInItsKind() {
    let start = VirtualAddress(0x1000)
    #expect(start + 16 == VirtualAddress(0x1010))
    #expect(start + 0x20 as VirtualAddress == VirtualAddress(0x1020))
    #expect(VirtualAddress(0x3000) - start == 0x2000)
    #expect(VirtualAddress(0x3000) - UInt64(0x1000) == VirtualAddress(0x2000))
    var moving = DMAAddress(8)
    moving += 8
    #expect(moving == DMAAddress(16))
    #expect(PFN(1) < PFN(2))
  }

  @Test func pageParts_followTheShift() {
    let address = VRAMAddress(0x12345)
    #expect(address.pageOffset == 0x345)
    #expect(address.pageBase == VRAMAddress(0x12000))
    #expect(!address.isPageAligned)
    #expect(address.pageBase.isPageAligned)
    #expect(VirtualAddress(0x20_0000).isAligned(to: 2 << 20))
    #expect(VirtualAddress(0x12345).page == 0x12)
  }

  @Test func frameNumber_isPhysicalAddressByPage() {
    #expect(PFN(0x55).physical == PhysicalAddress(0x55000))
    #expect(PhysicalAddress(0x55fff).pfn == PFN(0x55))
    #expect(PFN(7).index == 7)
  }

  @Test(arguments: [(0, 0), (1, 1), (4096, 1), (4097, 2), (8192, 2)])
  func pagesForBytes_roundUp(bytes: Int, pages: Int) {
    #expect(PageSize.pages(forBytes: UInt64(bytes)) == UInt64(pages))
  }

  @Test func description_isHexadecimal() {
    #expect(GPUVirtualAddress(0xabcd).description == "0xabcd")
  }

  @Test func difference_ofLowerAndHigherTraps() async {
    await #expect(processExitsWith: .failure) {
      let low = PFN(UInt64(CommandLine.arguments.count))
      _ = low - PFN(1 << 40) as UInt64
    }
  }
}
