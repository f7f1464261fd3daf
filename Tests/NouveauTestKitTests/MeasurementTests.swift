import Falcon
import NouveauTestKit
import Testing

@Suite struct MeasurementTests {
  @Test func medianAndQuartiles_areThoseOfTheSortedSamples() {
    let odd = Measurement("a", unit: "ns", samples: [5, 1, 3])
    #expect(odd.median == 3)
    #expect(odd.quartiles == (2, 4))
    #expect(Measurement("a", unit: "ns", samples: [4, 1, 2, 3]).median == 2.5)
    #expect(Measurement("a", unit: "ns", samples: []).median == 0)
  }

  @Test(arguments: [
    (0.8, "0.800"), (12.345, "12.35"), (123.45, "123.5"), (98765.4, "98765"), (-1.5, "-1.500"),
    (0.0004, "0.000"),
  ])
  func numbers_showFourDigits(value: Double, text: String) {
    #expect(Measurement.text(value) == text)
  }

  @Test(arguments: FalconMeasurements.Program.allCases)
  func measuredMicrocode_runsForEver(_ program: FalconMeasurements.Program) throws {
    let falcon = try FalconMeasurements(program)
    for _ in 0..<20 {
      #expect(falcon.run(cycles: 1_000) > 100)
      #expect(falcon.stop == nil)
    }
  }

  @Test func theTable_saysWhichGoalsAreMissed() {
    var report = MeasurementReport()
    report.circumstances = [("build", "debug")]
    report.measurements = [
      Measurement("memcpy", unit: "GB/s", samples: [10]),
      Measurement(
        "bulk to device", unit: "of memcpy", goal: .atLeast(0.8), samples: [0.5],
        note: "one copy engine"),
      Measurement("bookkeeping", unit: "ns/page", goal: .atMost(60), samples: [40, 42, 44]),
    ]
    #expect(
      report.text() == """
        build: debug
        figure          median  unit       quartiles       goal
        memcpy           10.00  GB/s       10.00 .. 10.00
        bulk to device   0.500  of memcpy  0.500 .. 0.500  >= 0.800  MISSED
        bookkeeping      42.00  ns/page    41.00 .. 43.00  <= 60.00  reached
        bulk to device: one copy engine

        """)
  }
}
