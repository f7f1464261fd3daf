import Base
import PCIDiscovery

/// The parser behind `nouveau devices --rom`.
package struct VBIOSTarget: FuzzTarget {
  package let name = "vbios"
  package let summary = "VBIOS images: PCIR, NPDE, BIT, devinit (nouveau devices --rom)"
  private let images: [[UInt8]]

  package init() {
    var images: [[UInt8]] = []
    for wrapper: UInt8? in [nil, 1, 2, 3] {
      for options in 0..<16 {
        var builder = VBIOSBuilder()
        builder.wrapper = wrapper
        builder.hasUEFI = options & 1 != 0
        builder.hasExtension = options & 2 != 0
        builder.hasNPDE = options & 4 != 0
        builder.hasDevinit = options & 8 != 0
        images.append(builder.build())
      }
    }
    self.images = images
  }

  /// Where the fields of an unwrapped image stand.
  private static let fields: [Int] = {
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

  package func input(_ number: UInt64, seed: UInt64) -> [UInt8] {
    var mutator = generator(number, seed: seed)
    let index = mutator.random.below(images.count)
    var bytes = images[index]
    if mutator.oneIn(3) {
      mutator.damage(&bytes)
      return bytes
    }
    // The wrapper stands before the first image.
    let front = bytes.count % VBIOSBuilder.Place.length
    let base = index < 16 ? 0 : front == 0 ? 2 * VBIOSBuilder.Place.length : front
    mutator.damage(&bytes, fields: Self.fields.map { $0 + base })
    if mutator.oneIn(4) { mutator.damage(&bytes) }
    return bytes
  }

  package func feed(_ input: [UInt8]) -> FuzzOutcome {
    do throws(VBIOSError) {
      let bios = try VBIOS(parsing: input)
      if let place = bios.findings.first(where: { !Self.isPlace($0.offset) }) {
        return .broken("a finding at offset \(place.offset)")
      }
      if bios.images.contains(where: { $0.available > input.count - $0.offset }) {
        return .broken("an image that is larger than the file")
      }
      // The report is made of what was parsed; a part of the inputs is enough for it.
      if bios.findings.count % 4 == 1, bios.lines.isEmpty { return .broken("no report") }
      if bios.findings.isEmpty { return .ended("accepted") }
      return .ended(bios.bit == nil ? "read without a BIT table" : "read with findings")
    } catch {
      return Self.isPlace(error.offset) && !error.message.isEmpty
        ? .ended("refused") : .broken("an error at offset \(error.offset)")
    }
  }

  /// A pointer may lead 4 GiB away, no further.
  private static func isPlace(_ offset: Int) -> Bool { (0...(1 << 33)).contains(offset) }
}
