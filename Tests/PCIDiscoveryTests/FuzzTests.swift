import Foundation
import PCIDiscovery
import Testing

/// How long the fuzzers run: short in the suite, as long as the environment says otherwise.
///
/// `PCI_FUZZ_COUNT` inputs a parser, from the seed `PCI_FUZZ_SEED` on. A trap kills the program;
/// the last line on standard error then names the seed to start from.
private enum Fuzz {
  static func number(_ key: String) -> UInt64? {
    ProcessInfo.processInfo.environment[key].flatMap { UInt64($0) }
  }

  static func run(_ what: String, count: UInt64, _ body: (UInt64) throws -> Void) rethrows {
    let count = number("PCI_FUZZ_COUNT") ?? count
    let first = number("PCI_FUZZ_SEED") ?? 1
    for seed in first..<first + count {
      if seed % 100_000 == 0 {
        let line = "fuzzing \(what): at PCI_FUZZ_SEED=\(seed) PCI_FUZZ_COUNT=100000\n"
        FileHandle.standardError.write(Data(line.utf8))
      }
      try body(seed)
    }
  }

  static let images: [[UInt8]] = {
    var result: [[UInt8]] = []
    for wrapper: UInt8? in [nil, 1, 2, 3] {
      for options in 0..<16 {
        var builder = VBIOSBuilder()
        builder.wrapper = wrapper
        builder.hasUEFI = options & 1 != 0
        builder.hasExtension = options & 2 != 0
        builder.hasNPDE = options & 4 != 0
        builder.hasDevinit = options & 8 != 0
        result.append(builder.build())
      }
    }
    return result
  }()

  /// Where the fields of an unwrapped image stand.
  static let fields: [Int] = {
    typealias Place = VBIOSBuilder.Place
    var result = [0, 1, 2, 0x18, 0x19, 0x36]
    result += (0..<0x18).map { Place.header + $0 }
    result += (0..<0x0c).map { Place.npde + $0 }
    result += (0..<48).map { Place.bit + $0 }
    result += (0..<0x1c).map { Place.initData + $0 }
    result += (0..<21).map { Place.stringData + $0 }
    result += (0..<4).map { Place.falconData + $0 }
    result += (0..<12).map { Place.pmuTable + $0 }
    result += (0..<0x30).map { Place.program + $0 }
    return result + (0..<10).map { Place.dcb + $0 }
  }()
}

@Test func fuzz_vbiosParserTakesAnyBytes() {
  let images = Fuzz.images
  Fuzz.run("VBIOS", count: 3000) { seed in
    var mutator = Mutator(seed: seed)
    var bytes = images[Int(seed % UInt64(images.count))]
    if seed & 64 == 0 {
      mutator.damage(&bytes)
    } else {
      mutator.damage(&bytes, fields: Fuzz.fields)
    }
    let offsets: [Int]
    do throws(VBIOSError) {
      let bios = try VBIOS(parsing: bytes)
      offsets = bios.findings.map(\.offset)
      // Text and JSON are made of what was parsed, so they see the same numbers.
      if seed % 64 == 0 {
        let lines = bios.lines
        if lines.isEmpty { Issue.record("no report; replay with PCI_FUZZ_SEED=\(seed)") }
      }
      if bios.images.contains(where: { $0.available > bytes.count - $0.offset }) {
        Issue.record("an image larger than the file; replay with PCI_FUZZ_SEED=\(seed)")
      }
    } catch {
      offsets = [error.offset]
    }
    // A pointer may lead 4 GiB away, no further.
    if offsets.contains(where: { $0 < 0 || $0 > 1 << 33 }) {
      Issue.record("offset \(offsets) of no file; replay with PCI_FUZZ_SEED=\(seed)")
    }
  }
}

/// Texts of the three kinds, made of the shipped recordings.
private func texts() throws -> [[UInt8]] {
  var result = try Recordings.names.map { try Recordings.bytes($0) }
  for name in Recordings.names {
    var dump = ""
    var list = ""
    for record in try Recordings.load(name).devices {
      dump += "\(record.address) 3D controller: x\n\tRegion 0: Memory at 0 [size=16M]\n"
      dump += "\tKernel driver in use: x\n\tNUMA node: 1\n\tIOMMU group: 2\n"
      for start in stride(from: 0, to: record.config.count, by: 16) {
        let row = record.config[start..<start + 16].map {
          ($0 < 16 ? "0" : "") + String($0, radix: 16)
        }
        dump += (start < 16 ? "0" : "") + String(start, radix: 16) + ": "
        dump += row.joined(separator: " ") + "\n"
      }
      list += "Slot:\t\(record.address)\nClass:\tx [0302]\nVendor:\tx [10de]\nDevice:\tx [15f8]\n"
      list += "Rev:\ta1\nNUMANode:\t0\nIOMMUGroup:\t1\nDriver:\tx\n\n"
    }
    result.append(Array(dump.utf8))
    result.append(Array(list.utf8))
  }
  return result
}

@Test func fuzz_deviceTextsEndInARecordOrAPlace() throws {
  let originals = try texts()
  Fuzz.run("device texts", count: 1000) { seed in
    var mutator = Mutator(seed: seed)
    var bytes = originals[Int(seed % UInt64(originals.count))]
    mutator.damage(&bytes)
    do throws(DiscoveryError) {
      let content = try DeviceText.parse(bytes, file: "f")
      // What was taken can be reported and written down again.
      for device in content.devices {
        if DeviceReport(record: device).text.isEmpty {
          Issue.record("no report; replay with PCI_FUZZ_SEED=\(seed)")
        }
      }
      let again = try PCIRecording(note: "", devices: content.devices).text()
      let back = try PCIRecording.parse(Array(again.utf8), file: "g")
      if back.devices != content.devices {
        Issue.record("the recording lost something; replay with PCI_FUZZ_SEED=\(seed)")
      }
    } catch {
      if error.place?.file != "f" || error.remedy.isEmpty {
        Issue.record("\(error) has no place or remedy; replay with PCI_FUZZ_SEED=\(seed)")
      }
    }
  }
}

@Test func fuzz_idDatabaseTakesAnyText() throws {
  let text = """
    # c
    10de  NVIDIA Corporation
    \t15f8  GP100GL
    \t\t10de 118f  A board
    C 03  Display controller
    \t02  3D controller
    """
  var record = PCIDeviceRecord(
    address: try #require(PCIAddress("0000:00:00.0")), vendor: 0x10de, device: 0x15f8,
    classCode: 0x030200)
  record.subsystemVendor = 0x10de
  record.subsystem = 0x118f
  Fuzz.run("pci.ids", count: 2000) { seed in
    var mutator = Mutator(seed: seed)
    var bytes = Array(text.utf8)
    mutator.damage(&bytes)
    let names = PCIIDDatabase(bytes).names(of: record)
    if names.vendor?.contains("\n") == true {
      Issue.record("a name over two lines; replay with PCI_FUZZ_SEED=\(seed)")
    }
  }
}
