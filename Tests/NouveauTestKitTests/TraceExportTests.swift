import Foundation
import KernelRuntime
import NouveauTestKit
import Testing

@Suite struct TraceExportTests {
  private static let emit = TraceKind("fence.emit", ["context", "seqno"], shape: .flowStart)
  private static let signal = TraceKind("fence.signal", ["context", "seqno"], shape: .flowStep)
  private static let wait = TraceKind("fence.wait", ["context", "seqno"], shape: .flowEnd)
  private static let copy = TraceKind("ce.launch", ["bytes"], shape: .span)
  private static let note = TraceKind("note", ["big"])

  private static func sample() throws -> Trace {
    let kernel = Kernel(trace: Trace(isOn: true))
    let engine = kernel.trace.row("CE 2", in: .engines)
    _ = try kernel.run("mover") {
      kernel.trace.record(Self.emit, 3, 9)
      let start = kernel.now
      await kernel.sleep(1_500)
      kernel.trace.span(Self.copy, since: start, 4096, on: engine)
      kernel.trace.record(Self.signal, 3, 9, on: engine)
      kernel.trace.record(Self.wait, 3, 9)
      kernel.trace.record(Self.note, 1 << 60)
    }
    return kernel.trace
  }

  @Test func theExport_isTheViewersForm() throws {
    let json = ChromeTrace.json(of: try Self.sample())
    let lines = json.split(separator: "\n").map(String.init)
    #expect(lines.first == #"{"displayTimeUnit":"ns","traceEvents":["#)
    #expect(
      lines.contains {
        $0.hasPrefix(
          #"{"name":"ce.launch","cat":"ce","ph":"X","pid":4,"tid":2,"ts":0.000,"dur":1.500"#)
      })
    #expect(lines.contains { $0.contains(#""ph":"M","pid":4,"tid":2,"args":{"name":"CE 2"}"#) })
    // The three stations of one fence carry one number.
    for (phase, row) in [("s", 3), ("t", 2), ("f", 3)] {
      let head = #"{"name":"fence","cat":"fence","ph":"\#(phase)","id":1,"#
      #expect(lines.contains { $0.hasPrefix(head) && $0.contains(#""tid":\#(row),"#) }, "\(phase)")
    }
    #expect(lines.contains { $0.contains(#""args":{"big":"0x1000000000000000"}"#) })
  }

  @Test func theExport_isJSON() throws {
    let data = Data(ChromeTrace.json(of: try Self.sample()).utf8)
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let events = try #require(object["traceEvents"] as? [[String: Any]])
    #expect(events.allSatisfy { $0["ph"] is String && $0["pid"] is Int })
  }
}
