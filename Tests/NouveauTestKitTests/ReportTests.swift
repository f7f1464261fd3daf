import Foundation
import NouveauTestKit
import Testing

@Suite struct ReportTests {
  @Test func jsonOfAFailure_carriesWhatTheTextSays() throws {
    let report = try Kit.run(
      "- touch: {mapping: buffer}\n- migrate: {mapping: buffer, to: device, moved: 3}", seed: 12)
    let data = Data(report.json.text().utf8)
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(object["result"] as? String == "failed")
    #expect(object["seed"] as? Int == 12)
    #expect(object["replay"] as? String == "nouveau run test.yaml --seed 12")
    let mismatch = try #require((object["mismatches"] as? [[String: Any]])?.first)
    #expect(mismatch["step"] as? String == "2")
    #expect(mismatch["line"] as? Int == 9)
    #expect(mismatch["expected"] as? String == "3 pages moved")
    #expect(mismatch["got"] as? String == "16")
  }

  @Test func jsonText_escapesWhatJSONCantHold() {
    let value = JSONValue.object([("a\"b", .list([.string("x\\y\n\u{1}é"), .null, .flag(true)]))])
    #expect(value.text(isCompact: true) == #"{"a\"b":["x\\y\n\u0001é",null,true]}"#)
    #expect(JSONValue.list([]).text() == "[]")
  }

  @Test(arguments: [
    (UInt64(7), "7 ns"), (1_500, "1.5 us"), (15_000_000_000, "15.0 s"), (2_340_000, "2.3 ms"),
  ])
  func durations_useTheNaturalUnit(nanoseconds: UInt64, text: String) {
    #expect(RunReport.timeText(nanoseconds) == text)
  }
}
