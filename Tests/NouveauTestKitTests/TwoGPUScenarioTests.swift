import Base
import KernelRuntime
import NouveauTestKit
import Testing

/// Scenarios on machines with several GPUs.
@Suite struct TwoGPUScenarioTests {
  private static func machine(_ text: String, _ steps: String) -> String {
    """
    scenario: test
    summary: A test.
    machine: {\(text)}
    processes:
      - name: app
        mappings:
          - {name: buffer, size: 4 pages}
    steps:
    \(steps)
    """
  }

  @Test func aGPUThatTheMachineLacks_isAnError() {
    let one = Kit.errors(Self.machine("ram: 16 MiB", "  - suspend:\n    gpu: 1\n"))
    #expect(one == ["f.yaml:10:10: error: the machine has no GPU 1; say 'gpus: 2' of the machine"])
    let two = Kit.errors(Self.machine("gpus: 2", "  - suspend:\n    gpu: 2\n"))
    #expect(two == ["f.yaml:10:10: error: the machine has no GPU 2; its GPUs are 0 to 1"])
  }

  @Test(arguments: ["touch: {mapping: buffer}", "read: {mapping: buffer, by: cpu}", "delay: 1 ms"])
  func aStepThatNoGPUTakesPartIn_can_tNameOne(step: String) {
    let errors = Kit.errors(Self.machine("gpus: 2", "  - \(step)\n    gpu: 1\n"))
    #expect(errors.count == 1 && errors[0].contains("'gpu' says nothing here"))
  }

  /// A target with one GPU says so, and goes on for that one.
  @Test func aTargetWithOneGPU_hasNoOther() throws {
    let text = Self.machine(
      "gpus: 2",
      """
        - migrate: {mapping: buffer, to: device}
          gpu: 1
          fails: EOPNOTSUPP
        - suspend:
          gpu: 1
          fails: EOPNOTSUPP
        - read: {mapping: buffer, by: device}
          gpu: 1
          fails: EOPNOTSUPP
        - migrate: {mapping: buffer, to: device, moved: 4}
          gpu: 0

      """)
    let scenario = try ScenarioParser().parse(text, file: "f.yaml")
    let report = ScenarioRunner { FakeTarget($0) }.run(scenario).report
    #expect(report.passed, "\(report.text())")
  }

  @Test func countersAndPlaces_areToldByGPU() throws {
    let text = Self.machine(
      "ram: 16 MiB, vram: 32 MiB, gpus: 3",
      """
        - fill: {mapping: buffer, pattern: index}
        - migrate: {mapping: buffer, pages: P0, to: device}
        - migrate: {mapping: buffer, pages: P1..P2, to: device}
          gpu: 1
        - migrate: {mapping: buffer, pages: P3, to: device}
          gpu: 2
        - expect:
            location: {buffer: {P0: device, P1..P2: gpu1, P3: gpu2}}
            counters: {device-pages: 4, chunks: 3}
        - expect: {counters: {device-pages: 2, chunks: 1, pages-to-device: 2}}
          gpu: 1
        - suspend:
        - resume:
        - teardown:
          gpu: 1
        - expect: {counters: {device-pages: 0, pages-to-device: 2}}
          gpu: 1
        - teardown:
        - teardown:
          fails: ENODEV
        - read: {mapping: buffer}

      """)
    let scenario = try ScenarioParser().parse(text, file: "f.yaml")
    let report = ScenarioRunner { request throws(KernelError) in try MachineTarget(request) }
      .run(scenario).report
    #expect(report.passed, "\(report.text())")
  }
}
