#if PCIAccess
  import Foundation
  import PCIDiscovery
  import Testing

  /// A machine of umockdev's making, with the devices of some records.
  ///
  /// umockdev redirects `open`, `stat`, `readlink` and `opendir` of /sys into a folder of its own,
  /// but not `scandir`, with which libpciaccess lists the devices (glibc's `scandir` calls an
  /// internal `opendir`). So a second preloaded library, built from ``scandirSource``, replaces
  /// `scandir` by one that calls the `opendir` that umockdev replaced.
  struct MockedMachine {
    let folder: URL
    let umockdev: String
    let interposer: String

    /// Why mocked boards can't be had here; nil when they can.
    static let obstacle: String? =
      if ProgramRun.find("umockdev-run") == nil {
        "umockdev-run is not installed (Debian: umockdev)"
      } else if compiler == nil {
        "no C compiler (clang, cc or gcc) to build the scandir stand-in"
      } else {
        nil
      }

    private static let compiler: String? = {
      let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
      for name in ["clang", "cc", "gcc"] {
        for folder in folders
        where FileManager.default.isExecutableFile(atPath: "\(folder)/\(name)") {
          return "\(folder)/\(name)"
        }
      }
      return nil
    }()

    init(_ devices: [PCIDeviceRecord]) throws {
      folder = FileManager.default.temporaryDirectory
        .appending(path: "pci-discovery-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      umockdev = try #require(ProgramRun.find("umockdev-run"))
      interposer = folder.appending(path: "scandir.so").path
      let source = folder.appending(path: "scandir.c")
      try Data(Self.scandirSource.utf8).write(to: source)
      let compiler = try #require(Self.compiler)
      let built = try ProgramRun(
        compiler, ["-shared", "-fPIC", "-o", interposer, source.path])
      #expect(built.status == 0, "\(compiler): \(built.errors)")
      var parts = devices.map { Self.description($0) }
      // lspci follows a group's link to its end, so there is something to find.
      for group in Set(devices.compactMap(\.iommuGroup)).sorted() {
        parts.append("P: /devices/iommu_groups/\(group)\nE: SUBSYSTEM=iommu\n")
      }
      let text = parts.joined(separator: "\n")
      try Data(text.utf8).write(to: folder.appending(path: "devices.umockdev"))
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    /// Runs a program in the machine.
    func run(_ program: [String], environment: [String: String] = [:]) throws -> ProgramRun {
      let preload =
        environment.isEmpty ? [] : ["env", "LD_PRELOAD=\(interposer):libumockdev-preload.so.0"]
      return try ProgramRun(
        umockdev, ["-d", path("devices.umockdev"), "--"] + preload + program,
        environment: environment)
    }

    /// Runs one test of this test program in the machine.
    func run(test: String, mode: String) throws -> ProgramRun {
      try run(
        [
          "/proc/\(ProcessInfo.processInfo.processIdentifier)/exe", "--testing-library",
          "swift-testing", "--filter", test,
        ],
        environment: [MockedChild.modeKey: mode, MockedChild.outputKey: path("out")])
    }
  }

  extension MockedMachine {
    /// A record as umockdev's description: sysfs attributes as text (A), bytes (H) and links (L).
    static func description(_ record: PCIDeviceRecord) -> String {
      func hex(_ value: some BinaryInteger, _ digits: Int) -> String {
        let text = String(value, radix: 16)
        return "0x" + String(repeating: "0", count: max(0, digits - text.count)) + text
      }
      var lines = [
        "P: /devices/pci\(record.address.description.prefix(7))/\(record.address)",
        "E: SUBSYSTEM=pci", "A: irq=0", "A: vendor=\(hex(record.vendor, 4))",
        "A: device=\(hex(record.device, 4))", "A: class=\(hex(record.classCode, 6))",
        "A: revision=\(hex(record.revision ?? 0, 2))",
        "A: subsystem_vendor=\(hex(record.subsystemVendor ?? 0, 4))",
        "A: subsystem_device=\(hex(record.subsystem ?? 0, 4))",
        "A: numa_node=\(record.numaNode ?? -1)",
      ]
      if let link = record.link {
        lines += [
          "A: current_link_speed=\(link.current.map { "\($0.speed) PCIe" } ?? "Unknown")",
          "A: current_link_width=\(link.current?.width ?? 0)",
          "A: max_link_speed=\(link.maximum.map { "\($0.speed) PCIe" } ?? "Unknown")",
          "A: max_link_width=\(link.maximum?.width ?? 0)",
        ]
      }
      if let driver = record.driver { lines.append("L: driver=../../../bus/pci/drivers/\(driver)") }
      if let group = record.iommuGroup {
        lines.append("L: iommu_group=../../iommu_groups/\(group)")
      }
      lines.append("A: resource=" + resources(record).joined(separator: "\\n") + "\\n")
      lines.append("H: config=" + bytes(record.config))
      // A page of registers with the recorded ones in place.
      var page = [UInt8](repeating: 0, count: 4096)
      for register in record.registers { page.put32(register.value, at: Int(register.offset)) }
      if !record.registers.isEmpty { lines.append("H: resource0=" + bytes(page)) }
      // Attributes of sysfs end with a newline, and libpciaccess needs it: it reads a number from a
      // buffer that it doesn't end itself.
      return lines.map { $0.hasPrefix("A: ") && !$0.hasSuffix("\\n") ? $0 + "\\n" : $0 }
        .joined(separator: "\n") + "\n"
    }

    private static func bytes(_ bytes: [UInt8]) -> String {
      bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) }.joined()
    }

    /// The lines of sysfs's `resource`: start, end and flags of BAR0 to BAR5 and of the ROM.
    ///
    /// SOURCE: include/linux/ioport.h: IO 0x100, MEM 0x200, PREFETCH 0x2000, MEM_64 0x100000,
    /// SIZEALIGN 0x40000; the low bits repeat the register's own.
    private static func resources(_ record: PCIDeviceRecord) -> [String] {
      func line(_ start: UInt64, _ size: UInt64, _ flags: UInt64) -> String {
        [start, size == 0 ? 0 : start + size - 1, flags].map { value in
          let text = String(value, radix: 16)
          return "0x" + String(repeating: "0", count: 16 - text.count) + text
        }.joined(separator: " ")
      }
      var result = [String](repeating: line(0, 0, 0), count: 7)
      for region in record.regions {
        var flags: UInt64 = region.space == .io ? 0x40101 : 0x40200
        if region.isPrefetchable { flags |= 0x2008 }
        if region.is64Bit { flags |= 0x10_0004 }
        result[region.index] = line(region.address ?? 0, region.size ?? 0, flags)
      }
      if let rom = record.expansionROM {
        result[6] = line(rom.address ?? 0, rom.size ?? 0, 0x46200)
      }
      return result
    }

    /// scandir(3) on top of opendir(3).
    private static let scandirSource = """
      #include <dirent.h>
      #include <stdlib.h>
      #include <string.h>
      int scandir(const char *path, struct dirent ***list,
                  int (*filter)(const struct dirent *),
                  int (*compare)(const struct dirent **, const struct dirent **)) {
        DIR *folder = opendir(path);
        struct dirent **entries = NULL, *entry;
        int count = 0;
        if (!folder) return -1;
        while ((entry = readdir(folder))) {
          if (filter && !filter(entry)) continue;
          entries = realloc(entries, (count + 1) * sizeof *entries);
          entries[count] = malloc(entry->d_reclen);
          memcpy(entries[count++], entry, entry->d_reclen);
        }
        closedir(folder);
        if (compare)
          qsort(entries, count, sizeof *entries, (int (*)(const void *, const void *))compare);
        *list = entries;
        return count;
      }
      """
  }
#endif
