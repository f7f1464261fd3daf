import Base
import NouveauTestKit
import Testing

@Suite struct ParserFuzzTests {
  /// Pieces that mean something to YAML or to the schema, which plain byte noise rarely makes.
  private static let pieces = [
    "P0..P99999999999999999999", "P5..P2", "- ", ": ", "{", "}", "[", "]", "&a ", "*a", "? ", "|\n",
    ">\n", "\"", "'", "\t", "#", "!!int ", "<<: ", "...\n", "---\n", "%YAML", "\u{0}", "é", "🙂",
    "-1", "18446744073709551616", "0x", "64 KiB", "999999999 GiB", "~", "null", ">= ", "P", "\r\n",
    "steps:", "parallel:", "expect:", "mapping: ", "\\uD800",
  ]

  private static func mutate(_ text: String, _ random: inout SplitMix64) -> [UInt8] {
    var bytes = Array(text.utf8)
    for _ in 0..<1 + random.below(6) where !bytes.isEmpty {
      let at = random.below(bytes.count)
      switch random.below(7) {
      case 0: bytes[at] = UInt8(random.below(256))
      case 1: bytes.remove(at: at)
      case 2: bytes.insert(contentsOf: pieces[random.below(pieces.count)].utf8, at: at)
      case 3: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.below(40)))
      case 4:
        let slice = bytes[at..<min(bytes.count, at + 1 + random.below(200))]
        bytes.insert(contentsOf: Array(slice), at: random.below(bytes.count))
      case 5: bytes = Array(bytes[..<at])
      default: bytes.swapAt(at, random.below(bytes.count))
      }
    }
    return bytes
  }

  @Test(arguments: UInt64(0)..<8)
  func mutatedScenarios_giveAScenarioOrErrorsWithPlaces(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let originals = try Repository.scenarios().map(\.text)
    var refused = 0
    for round in 0..<250 {
      let bytes = Self.mutate(originals[random.below(originals.count)], &random)
      do throws(ScenarioErrors) {
        let scenario = try ScenarioParser().parse(bytes: bytes, file: "fuzz")
        #expect(!scenario.steps.isEmpty, "seed \(seed), round \(round)")
      } catch {
        refused += 1
        #expect(!error.diagnostics.isEmpty, "seed \(seed), round \(round)")
        for diagnostic in error.diagnostics {
          #expect(
            diagnostic.mark.line >= 1 && diagnostic.mark.column >= 1 && !diagnostic.remedy.isEmpty,
            "seed \(seed), round \(round): \(diagnostic)")
        }
      }
    }
    // Most mutations break something; were this near zero, the fuzzer would not be doing its work.
    #expect(refused > 100, "seed \(seed)")
  }
}
