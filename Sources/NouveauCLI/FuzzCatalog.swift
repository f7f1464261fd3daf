import Falcon
import Fuzzing
import Machine
import NouveauTestKit

/// Every target of `nouveau fuzz`.
enum FuzzCatalog {
  static func targets() -> [any FuzzTarget] {
    let image = FirmwareFolder.ofProject().image(at: "nvidia/gf100/pcopy.bin")
    let microcode = image.flatMap { try? FirmwareContainer(parsing: $0) }
    return FuzzTargets.all(microcode: microcode) + [ScenarioTarget()]
  }
}

/// The parser of scenario files.
struct ScenarioTarget: FuzzTarget {
  let name = "scenario"
  let summary = "scenario files (nouveau run)"

  private static let text = """
    name: fuzzed
    about: a mapping goes to the device and comes back
    seed: 7
    machine: {vram: 16 MiB, ram: 8 MiB}
    steps:
      - map: {as: heap, pages: 8}
      - fill: {mapping: heap, pages: P0..P7, seed: 3}
      - migrate: {mapping: heap, pages: P0..P7, to: device}
      - parallel:
          - - touch: {mapping: heap, page: P2}
          - - unmap: {mapping: heap, pages: P4..P7}
      - expect: {mapping: heap, pages: P0..P1, in: device}
      - audit

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
