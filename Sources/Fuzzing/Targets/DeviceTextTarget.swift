import Base
import PCIDiscovery

/// The readers behind `nouveau devices --from`: recordings and both of lspci's texts, and pci.ids.
package struct DeviceTextTarget: FuzzTarget {
  package let name = "recording"
  package let summary = "recordings, lspci's texts and pci.ids (nouveau devices --from)"
  private let texts: [[UInt8]]

  private static let records = """
    Slot:\t0000:03:00.0
    Class:\t3D controller [0302]
    Vendor:\tNVIDIA Corporation [10de]
    Device:\tGP100GL [15f8]
    SVendor:\tNVIDIA Corporation [10de]
    SDevice:\tTesla P100 [118f]
    Rev:\ta1
    NUMANode:\t0
    IOMMUGroup:\t12
    Driver:\tnouveau

    """
  private static let dump = """
    0000:03:00.0 3D controller: NVIDIA Corporation GP100GL (rev a1)
    \tRegion 0: Memory at 92000000 (32-bit, non-prefetchable) [size=16M]
    \tRegion 1: Memory at 2f000000000 (64-bit, prefetchable) [size=16G]
    \tExpansion ROM at 93000000 [disabled] [size=512K]
    \tLnkCap:\tPort #0, Speed 8GT/s, Width x16
    \tLnkSta:\tSpeed 8GT/s, Width x16
    \tKernel driver in use: nouveau
    \tNUMA node: 0
    \tIOMMU group: 12
    00: de 10 f8 15 46 05 10 00 a1 00 02 03 00 00 00 00
    10: 00 00 00 92 0c 00 00 00 f0 02 00 00 0c 00 00 00
    20: 00 00 00 00 00 00 00 00 00 00 00 00 de 10 8f 11
    30: 00 00 00 00 60 00 00 00 00 00 00 00 0b 01 00 00

    """
  private static let ids = """
    # c
    10de  NVIDIA Corporation
    \t15f8  GP100GL
    \t\t10de 118f  A board
    C 03  Display controller
    \t02  3D controller
    """
  private static let pieces = [
    "0000:00:00.0", "ffff:ff:1f.7", "[10de]", "[size=16M]", "[size=18446744073709551616]",
    "[virtual]",
    "Region 5: ", "Region 9: ", "I/O ports at ", "Memory at ", "Expansion ROM at ", "00: ", "10: ",
    "ff0: ", "1000: ", "gg", "Slot:\t", "Rev:\t", "\n\n", "\n", "\t", "\r\n", "{", "}", "[", "]",
    ",",
    ":", "\"", "\\u0000", "\\uD800", "null", "true", "-1", "1e999", "0x", "\"0xffffffffffffffff\"",
    "4096", "é", "🙂", "\u{0}", "LnkCap:", "Width x99", "Speed 99GT/s", "pcilib: ", "IOMMU group: ",
  ]

  package init() {
    var texts = [Self.records, Self.dump, Self.ids].map { Array($0.utf8) }
    if let devices = try? DeviceText.parse(texts[1], file: "dump").devices,
      let recording = try? PCIRecording(note: "fuzzed", devices: devices).text()
    {
      texts.append(Array(recording.utf8))
    }
    self.texts = texts
  }

  package func input(_ number: UInt64, seed: UInt64) -> [UInt8] {
    var mutator = generator(number, seed: seed)
    let index = mutator.random.below(texts.count)
    var bytes = texts[index]
    if mutator.oneIn(3) {
      mutator.damage(&bytes)
    } else {
      mutator.damage(&bytes, pieces: Self.pieces)
    }
    return [index == 2 ? 1 : 0] + bytes
  }

  package func feed(_ input: [UInt8]) -> FuzzOutcome {
    let bytes = Array(input.dropFirst())
    return input.first == 1 ? Self.names(bytes) : Self.devices(bytes)
  }

  private static func names(_ bytes: [UInt8]) -> FuzzOutcome {
    guard let address = PCIAddress("0000:00:00.0") else { return .broken("no address") }
    var record = PCIDeviceRecord(
      address: address, vendor: 0x10de, device: 0x15f8, classCode: 0x030200)
    record.subsystemVendor = 0x10de
    record.subsystem = 0x118f
    let names = PCIIDDatabase(bytes).names(of: record)
    let all = [
      names.vendor, names.device, names.subsystemVendor, names.subsystem, names.deviceClass,
    ]
    return all.contains { $0?.contains("\n") == true }
      ? .broken("a name over two lines") : .ended("names read")
  }

  private static func devices(_ bytes: [UInt8]) -> FuzzOutcome {
    do throws(DiscoveryError) {
      let content = try DeviceText.parse(bytes, file: "f")
      // What was taken can be reported and written down again.
      if content.devices.contains(where: { DeviceReport(record: $0).text.isEmpty }) {
        return .broken("a device without a report")
      }
      let again = try PCIRecording(note: "", devices: content.devices).text()
      let back = try PCIRecording.parse(Array(again.utf8), file: "g")
      return back.devices == content.devices
        ? .ended("\(content.kind.rawValue) read") : .broken("the recording loses something")
    } catch {
      if error.place?.file != "f" || error.remedy.isEmpty {
        return .broken("an error without place or remedy: \(error)")
      }
      return .ended("refused")
    }
  }
}
