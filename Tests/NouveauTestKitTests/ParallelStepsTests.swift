import NouveauTestKit
import Testing

/// Steps of several tasks that want the same thing at once.
@Suite struct ParallelStepsTests {
  private static func flow(_ steps: String) throws -> ScenarioFlow {
    let text = """
      scenario: parallel
      summary: Steps that meet.
      machine: {ram: 2 MiB, vram: 16 MiB}
      processes:
        - name: app
          mappings:
            - {name: a, size: 3 pages}
            - {name: b, size: 3 pages}
      steps:
        - fill: {mapping: a, random: 1}
        - fill: {mapping: b, random: 2}
        - migrate: {mapping: a, to: device}
      \(steps)
        - expect: {data: [{mapping: a}, {mapping: b}], leaks: none}
      """
    return ScenarioFlow(try ScenarioParser().parse(text, file: "parallel.yaml"))
  }

  /// Each gets a place of its own, also while the other waits for the mmap lock.
  @Test func twoMoves_goToDifferentPlaces() throws {
    try Self.flow(
      """
        - parallel:
            - steps: [{move: {mapping: a}}, {read: {mapping: a}}]
            - steps: [{move: {mapping: b}}, {read: {mapping: b}}]
      """
    ).holdsInOrders(60)
  }

  /// The driver core has suspend, resume and unbinding take turns (device_lock).
  @Test func suspendResumeAndUnbinding_takeTurns() throws {
    try Self.flow(
      """
        - parallel:
            - name: sleeper
              steps:
                - suspend:
                  fails: [none, EINVAL, ENODEV]
                - resume:
                  fails: [none, EINVAL, ENODEV]
            - name: unbinder
              steps: [{teardown: }]
            - name: mover
              steps:
                - migrate: {mapping: b, to: device}
                  fails: [none, ENODEV]
      """
    ).holdsInOrders(120)
  }

  /// A fault that waits for the resume holds the mmap lock, a move wants it for writing, a
  /// migration comes behind the move, and the suspend waits for migrations: no circle.
  @Test func suspendFaultMoveAndMigration_endEachOther() throws {
    try Self.flow(
      """
        - parallel:
            - name: sleeper
              steps: [{suspend: }, {resume: }]
            - name: toucher
              steps: [{touch: {mapping: a}}]
            - name: remapper
              steps: [{move: {mapping: b}}]
            - name: mover
              steps:
                - migrate: {mapping: b, to: device}
                  fails: [none, EINVAL]
                - migrate: {mapping: b, to: ram}
                  fails: [none, EINVAL]
      """
    ).holdsInOrders(300)
  }
}
