import Base
import KernelRuntime
import LinuxMM
import Testing

/// A process with a ``MirrorDevice`` of one kind, or two, as the kernel's `hmm-tests` open them.
final class HMMFixture {
  /// More than two of the chunks that the driver works in.
  static let pages = 130
  static let kinds: [DevicePagemap.Kind] = [.devicePrivate, .deviceCoherent]

  let machine: TestMachine
  let devices: [MirrorDevice]
  let mirrors: [DeviceMirror]
  var device: MirrorDevice { devices[0] }
  var mirror: DeviceMirror { mirrors[0] }
  var space: AddressSpace { machine.space }

  init(
    _ kind: DevicePagemap.Kind, devices count: Int = 1, devicePages: Int = HMMFixture.pages,
    choices: any Choices = FIFOChoices(), traced: Bool = false
  ) throws {
    let machine = try TestMachine(
      ramPages: 640, devicePages: 1, choices: choices, traced: traced)
    let devices = try (0..<count).map {
      try MirrorDevice(machine.mm, "mirror \($0)", kind: kind, pages: devicePages)
    }
    mirrors = try devices.map { try $0.open(machine.space) }
    self.machine = machine
    self.devices = devices
  }

  /// Runs a test's body on a new fixture.
  static func run(
    _ kind: DevicePagemap.Kind, devices: Int = 1, devicePages: Int = HMMFixture.pages,
    choices: any Choices = FIFOChoices(), _ body: @escaping (HMMFixture) async throws -> Void
  ) throws {
    let fixture = try HMMFixture(
      kind, devices: devices, devicePages: devicePages, choices: choices)
    try fixture.run("\(kind)") { try await body(fixture) }
  }

  /// Runs a test's body, then closes the devices and audits the machine.
  func run(_ comment: String = "", _ body: @escaping () async throws -> Void) throws {
    try machine.run(comment) {
      try await body()
      for mirror in self.mirrors { await mirror.close() }
    }
  }

  func map(
    _ pages: Int = HMMFixture.pages, _ protection: Protection = .readWrite, filled: Bool = true
  ) async throws -> VirtualRange {
    try await machine.map(pages: pages, protection, filled: filled)
  }

  /// A filled mapping whose pages are all on the first device.
  func mapOnDevice(_ pages: Int = HMMFixture.pages) async throws -> VirtualRange {
    let range = try await map(pages)
    try await mirror.migrateToDevice(range)
    return range
  }

  /// Whether the bytes that a device gave hold the pattern of `range`'s pages.
  func expectPattern(
    _ bytes: [UInt8], pages: Range<Int> = 0..<HMMFixture.pages,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(bytes.words == pages.map { TestMachine.word($0) }, sourceLocation: sourceLocation)
  }
}

extension [UInt8] {
  /// The first word of each page.
  var words: [UInt64] {
    stride(from: 0, to: count, by: 4096).map {
      UInt64(littleEndianBytes: Array(self[$0..<$0 + 8]))
    }
  }

  /// Pages that begin with these words.
  init(pages words: [UInt64]) {
    self = []
    for word in words { self += word.bytes + [UInt8](repeating: 0, count: 4088) }
  }
}
