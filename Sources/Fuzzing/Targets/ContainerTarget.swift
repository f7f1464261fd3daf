import Base
import Falcon

/// The reader of microcode images (`nvfw_bin_hdr`), as the driver and `nouveau firmware` use it.
package struct ContainerTarget: FuzzTarget {
  package let name = "container"
  package let summary = "microcode images: nvfw_bin_hdr and what it points to"
  private let images: [[UInt8]]
  private static let chip: UInt32 = 0x0c0
  /// The words of both headers, without the digest.
  private static let words = (0..<0x10).map { 4 * $0 }

  package init() {
    images = [(0x100, 8), (0x100, 0), (0x300, 0x40), (0x1200, 0x800)].map { code, data in
      FirmwareContainer(
        code: (0..<code).map { UInt8(truncatingIfNeeded: $0 &* 7) },
        data: (0..<data).map { UInt8(truncatingIfNeeded: $0 &* 13) }, chip: Self.chip, version: 1
      ).bytes
    }
  }

  package func input(_ number: UInt64, seed: UInt64) -> [UInt8] {
    var mutator = generator(number, seed: seed)
    // Small images more often than large ones, whose digest takes most of the time.
    var bytes = images[mutator.oneIn(32) ? 3 : mutator.random.below(3)]
    switch mutator.random.below(4) {
    case 0: mutator.damage(&bytes)
    case 1:
      mutator.damage(&bytes, fields: Array(0..<0x60))
    default:
      // Headers that lie, under a digest that doesn't: what lies behind the digest is reached.
      mutator.damage(&bytes, fields: Self.words)
      FirmwareContainer.seal(&bytes)
    }
    return bytes
  }

  package func feed(_ input: [UInt8]) -> FuzzOutcome {
    do throws(FirmwareError) {
      let image = try FirmwareContainer(parsing: input, expectedChip: Self.chip)
      let isSound =
        image.code.count % 0x100 == 0 && image.data.count % 4 == 0
        && Int(image.entry) < image.code.count
        && max(image.code.count, image.data.count) <= input.count
      return isSound ? .ended("accepted") : .broken("it accepts parts that no engine can hold")
    } catch {
      // A header may send the reader anywhere; other errors lie at a field of the file.
      if case .truncated = error { return .ended(error.name) }
      return error.offset >= 0 && error.offset < input.count
        ? .ended(error.name) : .broken("\(error.name) at offset \(error.offset)")
    }
  }
}
