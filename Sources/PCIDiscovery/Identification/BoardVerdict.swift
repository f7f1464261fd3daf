/// A chip that this project emulates.
public struct ModelledProfile: Hashable, Sendable {
  /// The profile's name, as the commands take it.
  public let name: String
  /// The chip it models, as ``ChipFamily/chip`` has it.
  public let chip: String

  public init(name: String, chip: String) {
    self.name = name
    self.chip = chip
  }

  /// The profiles that exist today.
  public static let all = [ModelledProfile(name: "GP100", chip: "GP100")]
}

/// What this project can say about a board.
public struct BoardVerdict: Hashable, Sendable {
  public enum Kind: String, Sendable, Codable {
    /// A profile models the chip.
    case modelled
    /// The chip is known, but no profile models it.
    case known
    /// A display controller of NVIDIA's with an id that no table has.
    case unknown
    /// No display or 3D controller of NVIDIA's.
    case notAGPU
  }

  public let kind: Kind
  /// The chip by the device id; nil for what isn't known.
  public let family: ChipFamily?
  /// The profile that models it.
  public let profile: String?
  /// Why, in a sentence without a full stop.
  public let reason: String

  /// The verdict on a board by its ids alone.
  public init(of record: PCIDeviceRecord, profiles: [ModelledProfile] = ModelledProfile.all) {
    let id = HexText.prefixed(record.device, digits: 4)
    guard record.isNVIDIADisplay else {
      let side = record.vendor == 0x10de
      self.init(
        .notAGPU,
        side
          ? "a function of NVIDIA's other than display (class"
            + " \(HexText.bare(record.classCode >> 8, digits: 4))), such as a board's audio or USB"
          : "not NVIDIA's")
      return
    }
    guard record.vendor == 0x10de, let family = ChipFamily.of(device: record.device) else {
      self.init(
        .unknown,
        "id \(id) lies in no range of the chip table; --probe reads the chip's own number")
      return
    }
    let basis =
      family.evidence == .documented
      ? "id \(id) is in the documented range of \(family.chip)"
      : "id \(id) lies among the listed boards of \(family.chip)"
    guard let profile = profiles.first(where: { $0.chip == family.chip }) else {
      self.init(
        .known,
        "\(basis); no profile models \(family.architecture)'s \(family.chip)"
          + " (modelled: \(profiles.map(\.name).joined(separator: ", ")))", family: family)
      return
    }
    self.init(
      .modelled, "\(basis), which profile \(profile.name) models", family: family,
      profile: profile.name)
  }

  private init(
    _ kind: Kind, _ reason: String, family: ChipFamily? = nil, profile: String? = nil
  ) {
    self.kind = kind
    self.reason = reason
    self.family = family
    self.profile = profile
  }
}
