import Foundation
import Testing

/// `docs/api-generations.md` shows code that compiles and names tests that exist.
@Suite struct GenerationsPageTests {
  private static let flows = "Tests/LinuxMMTests/Generations/Flows.swift"

  @Test(arguments: ["2017", "2019", "2020", "2025"])
  func eachFlow_isTheSourceThatRuns(_ year: String) throws {
    let tree = SourceTree()
    let source = try tree.text(Self.flows).components(separatedBy: "\n")
    let first = try #require(source.firstIndex(of: "  // docs: \(year)"))
    let last = try #require(source[first...].firstIndex(of: "  // docs: end"))
    let code = source[(first + 1)..<last].map { $0.hasPrefix("  ") ? String($0.dropFirst(2)) : $0 }
    let page = try tree.text("docs/api-generations.md")
    #expect(
      page.contains("```swift\n" + code.joined(separator: "\n") + "\n```"),
      "docs/api-generations.md: the flow of \(year) is not that of \(Self.flows)")
  }

  @Test func eachDefect_hasItsTest() throws {
    let tree = SourceTree()
    let tests = try tree.text("Tests/LinuxMMTests/Generations/PostedWalkTests.swift")
    let page = try tree.text("docs/api-generations.md")
    for letter in "ABCDEFGHIJKLMN" {
      #expect(tests.contains("func \(letter)_"), "no test of defect \(letter)")
      #expect(page.contains("\n| \(letter) | "), "no row of defect \(letter)")
    }
  }

  @Test func thePlot_isThere() throws {
    let text = try SourceTree().text("docs/api-generations.svg")
    #expect(text.hasPrefix("<svg ") && text.hasSuffix("</svg>\n"))
  }
}
