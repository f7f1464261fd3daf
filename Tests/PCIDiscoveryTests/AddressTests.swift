import PCIDiscovery
import Testing

@Test func address_roundTripsAndTakesShortForm() throws {
  let full = try #require(PCIAddress("10000:e1:1f.7"))
  #expect(full.description == "10000:e1:1f.7")
  #expect(try #require(PCIAddress("3b:00.0")).description == "0000:3b:00.0")
  #expect(try #require(PCIAddress("0000:3b:00.1")) < #require(PCIAddress("0000:3c:00.0")))
}

@Test(arguments: [
  "", "3b", "3b:00", "3b:00.8", "3b:20.0", "+b:00.0", "3b:00.0 ", "0:3b:00.0", "g0:00.0",
  "1:2:3:4.0", "0000:3b:00.0.0", "123456789:3b:00.0",
])
func address_refusesOtherText(_ text: String) {
  #expect(PCIAddress(text) == nil, "'\(text)' was taken for an address")
}

@Test func linkSpeed_readsEverySpelling() {
  for speed in PCILinkSpeed.allCases {
    #expect(PCILinkSpeed(speed.description) == speed)
    #expect(PCILinkSpeed(speed.description + " PCIe") == speed)
    #expect(PCILinkSpeed(speed.description.filter { $0 != " " }) == speed)
  }
  #expect(PCILinkSpeed("8GT/s") == .gt8)
  #expect(PCILinkSpeed("Unknown") == nil)
  #expect(PCILinkSpeed("7.0 GT/s") == nil)
}
