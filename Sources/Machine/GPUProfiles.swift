public import EmulatedGPU

/// The GPUs that a machine can have, by the names that scenarios and commands use.
public enum GPUProfiles {
  /// Such as `gp100`.
  public static let names = ["gp100", "gf100-copy"]

  /// The chip of this name, or nil.
  public static func chip(named name: String) -> (any ChipProfile)? {
    switch name {
    case "gp100": GP100()
    case "gf100-copy": GF100Copy()
    default: nil
    }
  }

  /// Why a machine with this GPU would not start here; nil when nothing is missing.
  ///
  /// Copy engines that run microcode need an image, and the project's own lie in a folder.
  public static func whatIsMissing(for name: String) -> String? {
    guard let chip = chip(named: name), FirmwareFolder.projectFolder == nil else { return nil }
    let runsMicrocode = chip.engines.contains {
      if case .falconCopy = $0.kind { true } else { false }
    }
    return runsMicrocode
      ? "\(name) runs microcode, and no folder Firmware lies above the command or this folder" : nil
  }
}
