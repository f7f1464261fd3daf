import FoundationEssentials

/// Reads from sysfs what libpciaccess doesn't tell: driver, IOMMU group, NUMA node, link and the
/// ROM's address. Reads only.
struct SysfsReader: Sendable {
  /// Where sysfs is mounted.
  var root = "/sys"

  /// Fills in what sysfs knows of the record's function.
  ///
  /// An attribute that doesn't exist is a plain "none"; one that can't be read is noted.
  func extend(_ record: inout PCIDeviceRecord) {
    let folder = "\(root)/bus/pci/devices/\(record.address)"
    record.driver = target(of: "\(folder)/driver")
    record.iommuGroup = target(of: "\(folder)/iommu_group").flatMap { Int($0) }
    record.numaNode = read("\(folder)/numa_node", into: &record).flatMap { Int($0) }
      .flatMap { $0 < 0 ? nil : $0 }
    let link = PCILink(
      current: state(folder, "current_link", &record), maximum: state(folder, "max_link", &record))
    if link.current != nil || link.maximum != nil { record.link = link }
    extendROM(&record, folder: folder)
  }

  /// The last part of a symbolic link's target.
  private func target(of path: String) -> String? {
    guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path) else {
      return nil
    }
    return target.split(separator: "/").last.map { String($0) }
  }

  private func state(
    _ folder: String, _ prefix: String, _ record: inout PCIDeviceRecord
  ) -> PCILink.State? {
    // sysfs says "Unknown" and width 0 or 255 where there is no link.
    guard
      let speed = read("\(folder)/\(prefix)_speed", into: &record).flatMap({ PCILinkSpeed($0) }),
      let width = read("\(folder)/\(prefix)_width", into: &record).flatMap({ Int($0) }),
      (1...32).contains(width)
    else { return nil }
    return PCILink.State(speed: speed, width: width)
  }

  /// Line 7 of `resource` is the expansion ROM: start, end, flags.
  private func extendROM(_ record: inout PCIDeviceRecord, folder: String) {
    guard let text = read("\(folder)/resource", into: &record) else { return }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count > 6 else { return }
    let words = lines[6].split(separator: " ").map { HexText.prefixedValue($0) }
    guard words.count == 3, let start = words[0], let end = words[1], let flags = words[2],
      flags != 0, end > start, end - start < 1 << 32
    else { return }
    record.expansionROM = PCIExpansionROM(
      address: start == 0 ? nil : start, size: end - start + 1)
  }

  /// An attribute's text without the last newline; nil when there is no such attribute.
  private func read(_ path: String, into record: inout PCIDeviceRecord) -> String? {
    do {
      let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
      return text.hasSuffix("\n") ? String(text.dropLast()) : text
    } catch let error as CocoaError where error.code == .fileReadNoPermission {
      record.unread.append(
        .init(
          field: String(path.split(separator: "/").last ?? "sysfs"), reason: "permission denied",
          remedy: "run as root"))
      return nil
    } catch {
      return nil
    }
  }
}
