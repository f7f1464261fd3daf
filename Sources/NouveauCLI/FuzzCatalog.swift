import Base
import Falcon
import Fuzzing
import Machine
import NouveauTestKit

/// Every target of `nouveau fuzz`.
enum FuzzCatalog {
  static func targets() -> [any FuzzTarget] {
    let image = FirmwareFolder.ofProject().image(at: "nvidia/gf100/pcopy.bin")
    let microcode = image.flatMap { try? FirmwareContainer(parsing: $0) }
    return FuzzTargets.all(microcode: microcode) + [ScenarioTextTarget()]
  }

  /// The target of this name; the canary too, which is in no campaign of all targets.
  static func target(_ name: String) -> (any FuzzTarget)? {
    name == "canary" ? CanaryTarget() : targets().first { $0.name == name }
  }
}

/// Shows that campaigns find what there is: one input in a hundred traps, one breaks its promise.
struct CanaryTarget: FuzzTarget {
  let name = "canary"
  let summary = "traps and breaks promises, for tests of the command itself"

  func input(_ number: UInt64, seed: UInt64) -> [UInt8] {
    [UInt8(truncatingIfNeeded: number % 100)]
  }

  func feed(_ input: [UInt8]) -> FuzzOutcome {
    invariant(input.first != 40, "the canary's trap")
    return input.first == 70 ? .broken("the canary's promise") : .ended("fine")
  }
}

/// The parser of scenario files.
struct ScenarioTextTarget: FuzzTarget {
  let name = "scenario"
  let summary = "scenario files (nouveau run)"

  private static let text = """
    scenario: fuzzed
    summary: A mapping goes to the device and comes back.
    covers: [N10, A2]
    machine: {profile: gp100}
    processes:
      - name: app
        mappings:
          - {name: buffer, size: 8 pages}
    steps:
      - fill: {mapping: buffer, pages: P0..P5, pattern: index}
      - arm: {point: gpu.copy_error, nth: 1}
      - migrate: {mapping: buffer, to: device}
        fails: EIO
      - expect:
          location: {buffer: {P0..P5: ram, P6..P7: none}}
      - migrate: {mapping: buffer, to: device, moved: 8}
      - read: {mapping: buffer, pages: P6..P7, data: zeros, by: device}
      - expect:
          data: [{mapping: buffer}]
          leaks: none

    """

  func input(_ number: UInt64, seed: UInt64) -> [UInt8] {
    var mutator = generator(number, seed: seed)
    var bytes = Array(Self.text.utf8)
    mutator.damage(&bytes, pieces: Self.pieces)
    return bytes
  }

  /// Pieces that mean something to YAML or to the schema, which plain byte noise rarely makes.
  private static let pieces = [
    "P0..P99999999999999999999", "P5..P2", "- ", ": ", "{", "}", "[", "]", "&a ", "*a", "? ", "|\n",
    ">\n", "\"", "'", "\t", "#", "!!int ", "<<: ", "...\n", "---\n", "%YAML", "\u{0}", "é", "🙂",
    "-1", "18446744073709551616", "0x", "64 KiB", "999999999 GiB", "~", "null", ">= ", "P", "\r\n",
    "steps:", "parallel:", "expect:", "mapping: ", "\\uD800",
  ]

  func feed(_ input: [UInt8]) -> FuzzOutcome {
    do throws(ScenarioErrors) {
      let scenario = try ScenarioParser().parse(bytes: input, file: "fuzz")
      return scenario.steps.isEmpty ? .broken("a scenario without steps") : .ended("accepted")
    } catch {
      let isGood = error.diagnostics.allSatisfy {
        $0.mark.line >= 1 && $0.mark.column >= 1 && !$0.remedy.isEmpty
      }
      return isGood && !error.diagnostics.isEmpty
        ? .ended("refused") : .broken("an error without place or remedy")
    }
  }
}
