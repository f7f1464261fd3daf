import Base
package import NVHardware

/// The engines that the device says it has.
package struct Topology {
  package let entries: [TopologyEntry]
  /// For each entry, which of its fields the table gave.
  private let hasRunlist: [Bool]

  /// Reads and decodes the table: runs of dwords that end where CHAIN is clear. An entry without a
  /// type, or with a word of a kind that isn't known, is reported and dropped.
  ///
  /// Kernel: gk104_top_parse (nvkm/subdev/top/gk104.c)
  init(_ registers: RegisterAccess, _ log: DeviceLog) {
    typealias P = NV_PTOP
    var entries: [TopologyEntry] = []
    var hasRunlist: [Bool] = []
    var entry = Self.emptyEntry
    var isTyped = false
    var isScheduled = false
    for index in 0..<P.DEVICE_INFO_count {
      let word = registers.read(P.DEVICE_INFO(index))
      switch P.DEVICE_INFO_ENTRY.get(word) {
      case P.DEVICE_INFO_ENTRY_NOT_VALID:
        continue
      case P.DEVICE_INFO_ENTRY_DATA:
        entry.instance = P.DEVICE_INFO_DATA_INST_ID.get(word)
        entry.priBase = P.DEVICE_INFO_DATA_PRI_BASE.get(word) << 12
        if P.DEVICE_INFO_DATA_FAULT_ID_VALID.get(word) != 0 {
          entry.faultID = P.DEVICE_INFO_DATA_FAULT_ID.get(word)
        }
      case P.DEVICE_INFO_ENTRY_ENUM:
        if P.DEVICE_INFO_ENGINE_VALID.get(word) != 0 {
          entry.engine = P.DEVICE_INFO_ENGINE_ENUM.get(word)
        }
        if P.DEVICE_INFO_RUNLIST_VALID.get(word) != 0 {
          entry.runlist = P.DEVICE_INFO_RUNLIST_ENUM.get(word)
          isScheduled = true
        }
        if P.DEVICE_INFO_INTR_VALID.get(word) != 0 {
          entry.interrupt = P.DEVICE_INFO_INTR_ENUM.get(word)
        }
        if P.DEVICE_INFO_RESET_VALID.get(word) != 0 {
          entry.reset = P.DEVICE_INFO_RESET_ENUM.get(word)
        }
      default:
        entry.type = P.DEVICE_INFO_TYPE_ENUM.get(word)
        isTyped = true
      }
      guard P.DEVICE_INFO_CHAIN.get(word) == 0 else { continue }
      if isTyped {
        // Before the LCE type, the three copy engines had types of their own.
        if (1...3).contains(entry.type) {
          entry.instance = entry.type - P.DEVICE_INFO_TYPE_ENUM_COPY0
          entry.type = P.DEVICE_INFO_TYPE_ENUM_LCE
        }
        entries.append(entry)
        hasRunlist.append(isScheduled)
      } else {
        log.error("top", "entry that ends at dword \(index) has no type")
      }
      entry = Self.emptyEntry
      isTyped = false
      isScheduled = false
    }
    self.entries = entries
    self.hasRunlist = hasRunlist
  }

  /// A number that a table leaves out is one that no bit mask and no search finds.
  static let absent: UInt32 = .max
  private static let emptyEntry = TopologyEntry(
    type: absent, instance: 0, priBase: 0, faultID: absent, engine: absent, runlist: absent,
    interrupt: absent, reset: absent)

  /// The logical copy engines, in order of the table.
  package var copyEngines: [TopologyEntry] {
    entries.filter { $0.type == NV_PTOP.DEVICE_INFO_TYPE_ENUM_LCE }
  }

  /// Numbers of the runlists, rising.
  var runlists: [UInt32] {
    var seen: UInt64 = 0
    for (entry, isScheduled) in zip(entries, hasRunlist) where isScheduled {
      seen |= 1 << UInt64(entry.runlist)
    }
    return (0..<UInt32(64)).filter { seen >> UInt64($0) & 1 != 0 }
  }
}
