import Base
import KernelRuntime
import NouveauTestKit
import Testing

/// The flow of device memory on the profile whose copy engines run microcode.
@Suite struct FalconScenarioTests {
  /// The text of a shipped scenario with the profile `gf100-copy`.
  private static func onFalcon(_ text: String) -> String {
    let key = "profile: gf100-copy"
    if text.contains(key) { return text }
    if text.contains("\nmachine: {") {
      return text.replacing("\nmachine: {", with: "\nmachine: {\(key), ")
    }
    if text.contains("\nmachine:\n") {
      return text.replacing("\nmachine:\n", with: "\nmachine:\n  \(key)\n")
    }
    return text.replacing("\nprocesses:", with: "\nmachine: {\(key)}\nprocesses:")
  }

  @Test func everyShippedScenario_holdsOnMicrocode() throws {
    var others: [String] = []
    for (name, text) in try Repository.scenarios() {
      // A scenario that names another profile is about what that one does.
      if text.contains("profile: gp100") {
        others.append(name)
        continue
      }
      let scenario = try ScenarioParser().parse(
        Self.onFalcon(text), file: "docs/scenarios/\(name)")
      #expect(scenario.machine.profile == "gf100-copy", "\(name)")
      let report = ScenarioRunner { request throws(KernelError) in
        try MachineTarget(request)
      }.run(scenario, RunOptions()).report
      #expect(report.passed, "with profile gf100-copy: \(report.text())")
    }
    #expect(others == ["huge-pages-on-the-device.yaml"])
  }

  @Test func theDemo_losesNothing() throws {
    var lines: [String] = []
    let bytes = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    let demo = try Demo(
      bytes: bytes, byteCount: bytes.count, profile: "gf100-copy",
      hash: { "\($0.reduce(into: UInt64(7)) { $0 = $0 &* 31 &+ UInt64($1) })" },
      say: { lines.append($0) })
    let result = demo.run()
    #expect(result.passed, "\(result.offences)\n\(lines.joined(separator: "\n"))")
    #expect(lines.contains { $0.contains("GF100-PCOPY") }, "\(lines)")
  }
}
