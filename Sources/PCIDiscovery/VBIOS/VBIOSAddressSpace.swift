/// What a pointer in the tables means: an offset into the legacy image, or beyond it into the data
/// that other images carry.
struct VBIOSAddressSpace {
  let rom: ROMBytes
  let images: [VBIOSImage]

  /// The file offset of `length` bytes at `pointer`; nil when they aren't all in the file.
  ///
  /// SOURCE: nouveau takes pointers at or above the length of image 0 into the image of type 0xe0;
  /// NVIDIA's BIOS-Information-Table adds the length of a UEFI image that follows the legacy one.
  func resolve(_ pointer: Int, _ length: Int) -> Int? {
    guard let first = images.first, pointer >= 0 else { return nil }
    var at = first.offset + pointer
    if pointer >= first.length {
      if let more = images.first(where: { $0.kind == .nvidiaExtension }) {
        at = more.offset + (pointer - first.length)
      } else if images.count > 1, images[1].kind == .uefi {
        at += images[1].length
      }
    }
    return rom.holds(at, length) ? at : nil
  }
}
