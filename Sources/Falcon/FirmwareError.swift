public import Base

/// What is wrong with a firmware image; each case has the offset of the field that says so.
public enum FirmwareError: Error, Hashable, Sendable {
  /// `needed` bytes were to be at `offset`; the image ends before.
  case truncated(offset: Int, needed: Int, size: Int)
  case wrongMagic(offset: Int, found: UInt32)
  case unsupportedVersion(offset: Int, found: UInt32)
  /// The size in the header is not the image's.
  case wrongSize(offset: Int, stated: UInt32, size: Int)
  /// A header that is too short or overlaps what it describes.
  case badHeader(offset: Int, stated: UInt32)
  /// A part that lies outside its section, or has a length that a falcon can't load.
  case badPart(offset: Int, start: UInt32, length: UInt32)
  /// The image is for another chip.
  case wrongChip(offset: Int, found: UInt32, expected: UInt32)
  /// The image is for another generation of the falcon.
  case wrongProcessor(offset: Int, found: UInt32)
  /// The entry point lies outside the code.
  case badEntry(offset: Int, entry: UInt32)
  /// The file is not what the digest was made of.
  case badDigest(offset: Int)

  /// The field that says so, in bytes from the image's begin.
  public var offset: Int {
    switch self {
    case .truncated(let offset, _, _), .wrongMagic(let offset, _),
      .unsupportedVersion(let offset, _), .wrongSize(let offset, _, _),
      .badHeader(let offset, _), .badPart(let offset, _, _), .wrongChip(let offset, _, _),
      .wrongProcessor(let offset, _), .badEntry(let offset, _), .badDigest(let offset):
      offset
    }
  }

  /// The case, in a word or two.
  public var name: String {
    switch self {
    case .truncated: "truncated"
    case .wrongMagic: "wrong magic"
    case .unsupportedVersion: "unsupported version"
    case .wrongSize: "wrong size"
    case .badHeader: "bad header"
    case .badPart: "bad part"
    case .wrongChip: "wrong chip"
    case .wrongProcessor: "wrong processor"
    case .badEntry: "bad entry"
    case .badDigest: "bad digest"
    }
  }

  /// What the kernel's loader would return: `EINVAL` for a malformed image, `ENODEV` for one of
  /// another device, `EBADMSG` for a damaged one.
  public var kernelError: KernelError {
    switch self {
    case .wrongChip, .wrongProcessor: .ENODEV
    case .badDigest: .EBADMSG
    default: .EINVAL
    }
  }
}

extension FirmwareError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .truncated(let offset, let needed, let size):
      "offset \(offset): \(needed) bytes are needed and the image has \(size) in all"
    case .wrongMagic(let offset, let found):
      "offset \(offset): magic \(FalconNames.hex(found)), not "
        + FalconNames.hex(FirmwareContainer.magic)
    case .unsupportedVersion(let offset, let found):
      "offset \(offset): container version \(found), not \(FirmwareContainer.containerVersion)"
    case .wrongSize(let offset, let stated, let size):
      "offset \(offset): the header says \(stated) bytes, the image has \(size)"
    case .badHeader(let offset, let stated):
      "offset \(offset): \(stated) can't be where a header or its payload stands"
    case .badPart(let offset, let start, let length):
      "offset \(offset): a part of \(length) bytes at \(start) is outside the payload "
        + "or no size to load"
    case .wrongChip(let offset, let found, let expected):
      "offset \(offset): for chip \(FalconNames.hex(found)), not \(FalconNames.hex(expected))"
    case .wrongProcessor(let offset, let found):
      "offset \(offset): for falcon version \(found), not \(FirmwareContainer.processorVersion)"
    case .badEntry(let offset, let entry):
      "offset \(offset): entry point \(FalconNames.hex(entry)) is outside the code"
    case .badDigest(let offset):
      "offset \(offset): the digest is not the file's"
    }
  }
}
