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
}
