#if PCIAccess
  import Base
  import CPCIAccess
  import Synchronization

  /// libpciaccess, behind a scope.
  ///
  /// UNSAFE: the library hands out pointers into its own state, valid from `pci_system_init` until
  /// `pci_system_cleanup`; nothing here keeps one beyond ``withSystem(_:)``. Only functions that
  /// read are called: `pci_device_read_rom`, `pci_device_enable` and the `cfg_write` family, which
  /// write to the device or to sysfs, appear nowhere.
  enum LibPCIAccess {
    /// The library keeps its state in a global of its own, without a lock.
    ///
    /// LOCKING: held from `pci_system_init` to `pci_system_cleanup`; the bodies don't nest.
    private static let gate = Mutex<Void>(())

    /// Runs `body` with the library set up; false when the machine has no PCI bus.
    private static func withSystem(
      _ body: () throws(DiscoveryError) -> Void
    ) throws(DiscoveryError) -> Bool {
      try gate.withLock { (_: inout sending Void) throws(DiscoveryError) -> Bool in
        let status = pci_system_init()
        // ENOENT: no /sys/bus/pci. ENOSYS: no access method of the library's fits the system.
        if status == KernelError.ENOENT.errno || status == KernelError.ENOSYS.errno { return false }
        guard status == 0 else {
          throw DiscoveryError(
            "libpciaccess can't start: \(KernelError(errno: status))",
            remedy: "check that /sys is mounted and readable")
        }
        defer { pci_system_cleanup() }
        try body()
        return true
      }
    }

    /// Every PCI function of the machine, sorted by address; nil when the machine has no PCI bus.
    static func scan() throws(DiscoveryError) -> [PCIDeviceRecord]? {
      var records: [PCIDeviceRecord] = []
      let found = try withSystem { () throws(DiscoveryError) in
        guard let iterator = unsafe pci_slot_match_iterator_create(nil) else {
          throw DiscoveryError("libpciaccess is out of memory", remedy: "free some and try again")
        }
        defer { unsafe pci_iterator_destroy(iterator) }
        while let device = unsafe pci_device_next(iterator) {
          if let record = unsafe record(of: device) { records.append(record) }
        }
      }
      return found ? records.sorted { $0.address < $1.address } : nil
    }

    private static func record(of device: UnsafeMutablePointer<pci_device>) -> PCIDeviceRecord? {
      let status = unsafe pci_device_probe(device)
      let found = unsafe device.pointee
      guard
        let address = PCIAddress(
          domain: found.domain, bus: found.bus, device: found.dev, function: found.func)
      else { return nil }
      var record = PCIDeviceRecord(
        address: address, vendor: found.vendor_id, device: found.device_id,
        classCode: found.device_class & 0xff_ffff)
      record.subsystemVendor = found.subvendor_id
      record.subsystem = found.subdevice_id
      record.revision = found.revision
      record.names.vendor = unsafe text(pci_device_get_vendor_name(device))
      record.names.device = unsafe text(pci_device_get_device_name(device))
      if found.subvendor_id != 0 {
        record.names.subsystemVendor = unsafe text(pci_device_get_subvendor_name(device))
        record.names.subsystem = unsafe text(pci_device_get_subdevice_name(device))
      }
      if status == 0 {
        record.regions = unsafe regions(device)
        if found.rom_size != 0 {
          record.expansionROM = PCIExpansionROM(address: nil, size: found.rom_size)
        }
      } else {
        record.unread.append(
          .init(
            field: "regions", reason: KernelError(errno: status).name,
            remedy: "check the device's folder in /sys/bus/pci/devices"))
      }
      unsafe readConfig(device, into: &record)
      return record
    }

    private static func text(_ pointer: UnsafePointer<CChar>?) -> String? {
      guard let pointer = unsafe pointer else { return nil }
      return unsafe String(validatingCString: pointer)
    }

    private static func regions(_ device: UnsafeMutablePointer<pci_device>) -> [PCIRegion] {
      let r = unsafe device.pointee.regions
      let all = unsafe [r.0, r.1, r.2, r.3, r.4, r.5]
      var result: [PCIRegion] = []
      for index in unsafe all.indices {
        let region = unsafe all[index]
        if unsafe region.size == 0 { continue }
        let address = unsafe region.base_addr
        result.append(
          PCIRegion(
            index: index, space: unsafe region.is_IO != 0 ? .io : .memory,
            address: address == 0 ? nil : address, size: unsafe region.size,
            isPrefetchable: unsafe region.is_prefetchable != 0,
            is64Bit: unsafe region.is_64 != 0))
      }
      return result
    }

    private static func readConfig(
      _ device: UnsafeMutablePointer<pci_device>, into record: inout PCIDeviceRecord
    ) {
      var bytes = [UInt8](repeating: 0, count: PCIConfigSpace.extendedSize)
      var got: pciaddr_t = 0
      let status = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe pci_device_cfg_read(device, buffer.baseAddress, 0, pciaddr_t(buffer.count), &got)
      }
      record.config = Array(bytes.prefix(Int(min(got, pciaddr_t(bytes.count)))))
      if record.config.count >= PCIConfigSpace.conventionalSize { return }
      record.unread.append(
        .init(
          field: "config",
          reason: status == 0
            ? "only the first \(got) bytes are readable without privileges"
            : KernelError(errno: status).name,
          remedy: "run as root"))
    }

    /// Reads `count` registers of a window through a read-only mapping of the pages they lie in.
    static func readRegisters(
      at address: PCIAddress, bar: Int, offset: UInt64, count: Int
    ) throws(DiscoveryError) -> [UInt32] {
      var values: [UInt32] = []
      let found = try withSystem { () throws(DiscoveryError) in
        guard
          let device = unsafe pci_device_find_by_slot(
            address.domain, UInt32(address.bus), UInt32(address.device), UInt32(address.function)),
          unsafe pci_device_probe(device) == 0,
          let window = unsafe regions(device).first(where: { $0.index == bar }),
          let base = window.address, let size = window.size
        else {
          throw DiscoveryError(
            "\(address) has no mapped window BAR\(bar)",
            remedy: "check that the device is still there and its windows are assigned")
        }
        values = try unsafe map(device, base: base, size: size, offset: offset, count: count)
      }
      guard found else { throw DiscoveryError("the machine has no PCI bus", remedy: "use --from") }
      return values
    }

    private static func map(
      _ device: UnsafeMutablePointer<pci_device>, base: UInt64, size: UInt64, offset: UInt64,
      count: Int
    ) throws(DiscoveryError) -> [UInt32] {
      let length = UInt64(count) * 4
      guard offset % 4 == 0, offset <= size, length <= size - offset else {
        throw DiscoveryError(
          "\(count) registers at \(HexText.prefixed(offset, digits: 6)) leave the window of"
            + " \(HexText.size(size))", remedy: "ask for offsets inside the window")
      }
      let page = UInt64(PageSize.bytes)
      let low = offset / page * page
      let span = min(size, (offset + length + page - 1) / page * page) - low
      var pointer: UnsafeMutableRawPointer?
      // Flags 0: the library opens sysfs's resource file and maps it for reading alone.
      let status = unsafe pci_device_map_range(device, base + low, span, 0, &pointer)
      guard status == 0, let window = unsafe pointer else {
        throw refusal(status)
      }
      defer { _ = unsafe pci_device_unmap_range(device, window, span) }
      var values: [UInt32] = []
      values.reserveCapacity(count)
      for index in 0..<count {
        unsafe values.append(cpciaccess_read32(window, Int(offset - low) + 4 * index))
      }
      return values
    }

    private static func refusal(_ status: Int32) -> DiscoveryError {
      let error = KernelError(errno: status)
      switch error {
      case .EACCES, .EPERM:
        return DiscoveryError(
          "mapping the registers needs privileges (\(error))",
          remedy: "run as root; with kernel lockdown or secure boot root may not either")
      case .ENOENT:
        return DiscoveryError(
          "sysfs has no file for this window (\(error))",
          remedy: "use a kernel with CONFIG_PCI and mmap support for PCI resources")
      default:
        return DiscoveryError(
          "the registers can't be mapped: \(error)",
          remedy: "check that no driver claims them exclusively (CONFIG_IO_STRICT_DEVMEM)")
      }
    }
  }
#endif
