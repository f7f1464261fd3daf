import Base
package import DeviceSeam
import Falcon
package import KernelRuntime

/// Microcode as the driver found it.
package struct FalconImage: Hashable, Sendable {
  /// Of the file, or of the file with the code.
  package let path: String
  package let code: [UInt8]
  package let data: [UInt8]
  package let entry: UInt32

  /// Where an engine's microcode comes from.
  package struct Source: Hashable, Sendable {
    /// In lower case, such as `gf100`.
    package let chipName: String
    /// Bits 28:20 of PMC_BOOT_0 of the chip that the microcode is made for.
    package let chipset: UInt32
    /// The name of the image, such as `pcopy`.
    package let name: String

    package init(chipName: String, chipset: UInt32, name: String) {
      self.chipName = chipName
      self.chipset = chipset
      self.name = name
    }

    /// A whole image in a container.
    ///
    /// Kernel: nvkm_firmware_load_name (nvkm/core/firmware.c)
    package var path: String { "nvidia/\(chipName)/\(name).bin" }

    /// Raw data and code, as extracted from other drivers.
    ///
    /// Kernel: nvkm_falcon_init (nvkm/engine/falcon.c)
    package func rawPaths(_ base: UInt32) -> (data: String, code: String) {
      let number = String(base >> 12, radix: 16)
      let stem =
        "nouveau/nv" + String(chipset, radix: 16) + "_fuc"
        + String(repeating: "0", count: 3 - min(3, number.count)) + number
      return (stem + "d", stem + "c")
    }
  }

  /// Looks for the microcode of the engine at `base`: the container first, then raw data and code.
  /// Passes `nouveau.request_firmware`.
  package static func request(
    _ source: Source, base: UInt32, _ store: (any FirmwareStore)?, _ kernel: Kernel
  ) throws(FirmwareFailure) -> FalconImage {
    do throws(KernelError) {
      try kernel.failures.check(.firmwareLoad)
    } catch {
      throw .request(source.path, error)
    }
    if let file = store?.image(at: source.path) {
      do throws(FirmwareError) {
        let container = try FirmwareContainer(parsing: file, expectedChip: source.chipset)
        return FalconImage(
          path: source.path, code: container.code, data: container.data, entry: container.entry)
      } catch {
        throw .image(source.path, error)
      }
    }
    let raw = source.rawPaths(base)
    if let data = store?.image(at: raw.data), let code = store?.image(at: raw.code) {
      return FalconImage(path: raw.code, code: code, data: data, entry: 0)
    }
    throw .missing([source.path, raw.data, raw.code])
  }
}
