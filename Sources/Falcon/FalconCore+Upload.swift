/// The windows through which code and data memory are filled and read: index, data, page tag.
struct FalconUploadPorts {
  static let writeIncrement: UInt32 = 1 << 24
  static let readIncrement: UInt32 = 1 << 25
  /// Bits of an index register that exist without a secret unit.
  static let indexBits: UInt32 = 0x0300_fffc

  var codeIndex: UInt32 = 0
  /// The virtual page that the next uploaded page gets.
  var codeTag: UInt32 = 0
  var dataIndex: UInt32 = 0

  static func advanced(_ index: UInt32, by bit: UInt32) -> UInt32 {
    index & bit == 0 ? index : index & ~0xffff | (index &+ 4) & 0xfffc
  }
}

// SOURCE: envytools docs/hw/falcon/vm.rst (code) and data.rst (data).
extension FalconCore {
  func writeCodeIndex(_ value: UInt32) {
    reportIndexBits(value, .codeIndex)
    upload.codeIndex = value & FalconUploadPorts.indexBits
  }

  func writeDataIndex(_ value: UInt32) {
    reportIndexBits(value, .dataIndex)
    upload.dataIndex = value & FalconUploadPorts.indexBits
  }

  private func reportIndexBits(_ value: UInt32, _ register: FalconRegister) {
    let unknown = value & ~FalconUploadPorts.indexBits
    if unknown != 0 { report(.unimplementedBits(offset: register.rawValue, bits: unknown)) }
  }

  /// One word of code. The first word of a page takes the page out of use and samples the tag; the
  /// last one makes it usable.
  func writeCodePort(_ value: UInt32) {
    let address = upload.codeIndex & 0xfffc
    upload.codeIndex = FalconUploadPorts.advanced(
      upload.codeIndex, by: FalconUploadPorts.writeIncrement)
    guard address < store.codeBytes else {
      report(.uploadOutOfRange(address: address))
      return
    }
    if address & 0xfc == 0 { pages.begin(Int(address >> 8), virtual: upload.codeTag) }
    store.setCode32(value, at: address)
    if address & 0xfc == 0xfc { pages.complete(Int(address >> 8)) }
    codeChanged()
  }

  func readCodePort() -> UInt32 {
    let address = upload.codeIndex & 0xfffc
    upload.codeIndex = FalconUploadPorts.advanced(
      upload.codeIndex, by: FalconUploadPorts.readIncrement)
    guard address < store.codeBytes else {
      report(.uploadOutOfRange(address: address))
      return 0
    }
    return store.code32(address)
  }

  func writeDataPort(_ value: UInt32) {
    let address = upload.dataIndex & 0xfffc
    upload.dataIndex = FalconUploadPorts.advanced(
      upload.dataIndex, by: FalconUploadPorts.writeIncrement)
    guard address < store.dataBytes else {
      report(.uploadOutOfRange(address: address))
      return
    }
    store.setData32(value, at: address)
  }

  func readDataPort() -> UInt32 {
    let address = upload.dataIndex & 0xfffc
    upload.dataIndex = FalconUploadPorts.advanced(
      upload.dataIndex, by: FalconUploadPorts.readIncrement)
    guard address < store.dataBytes else {
      report(.uploadOutOfRange(address: address))
      return 0
    }
    return store.data32(address)
  }

  /// Uploads and maps an image as the driver does: code to page 0 and up, then data, zero-filled.
  ///
  /// SOURCE: nvkm/engine/falcon.c's order for version 3; ``start(entry:)`` follows.
  public func upload(code: [UInt8], data: [UInt8]) {
    hostWrite(FalconUploadPorts.writeIncrement, to: FalconRegister.codeIndex.rawValue)
    let pageCount = (code.count + 0xff) >> 8
    for word in 0..<pageCount * 0x40 {
      if word & 0x3f == 0 {
        hostWrite(UInt32(word >> 6), to: FalconRegister.codeTag.rawValue)
      }
      hostWrite(Self.word(code, word), to: FalconRegister.codeData.rawValue)
    }
    hostWrite(FalconUploadPorts.writeIncrement, to: FalconRegister.dataIndex.rawValue)
    for word in 0..<configuration.dataBytes / 4 {
      hostWrite(Self.word(data, word), to: FalconRegister.dataData.rawValue)
    }
  }

  /// Starts the processor and lets the scheduler in.
  public func start(entry: UInt32 = 0) {
    hostWrite(1, to: FalconRegister.blockOnFIFO.rawValue)
    hostWrite(entry, to: FalconRegister.entry.rawValue)
    hostWrite(2, to: FalconRegister.control.rawValue)
    hostWrite(3, to: FalconRegister.accessEnable.rawValue)
  }

  private static func word(_ bytes: [UInt8], _ index: Int) -> UInt32 {
    (0..<4).reduce(0) { word, byte in
      let at = index * 4 + byte
      return at < bytes.count ? word | UInt32(bytes[at]) << UInt32(byte * 8) : word
    }
  }
}
