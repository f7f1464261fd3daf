extension Schema {
  private static let steps = SchemaKey(
    "steps", .list(.object(.step)), required: true, example: "[{touch: {mapping: buffer}}]",
    "What it does, in order.")
  private static let passages = [
    SchemaKey(
      "nth", .integer(1...UInt64.max), example: "1",
      "The n-th passage from now on, counted from 1."),
    SchemaKey(
      "from", .integer(1...UInt64.max), example: "2",
      "The n-th passage from now on and all later."),
    SchemaKey("always", .flag, example: "true", "Every passage."),
  ]
  private static let passageGroup = SchemaGroup(
    keys: ["nth", "from", "always"], count: .exactlyOne)

  /// Objects of the steps that steer tasks, time and failures.
  static let controlObjects: [SchemaObject] = [
    SchemaObject(
      .branch, "One of the tasks of `parallel`.",
      sample: """
        steps:
          - parallel:
              - name: cpu
                steps:
                  - touch: {mapping: buffer, pages: P0}
              - name: mover
                steps:
                  - migrate: {mapping: buffer, to: device}
        """,
      [
        SchemaKey("name", .text, example: "cpu", "Its name in reports and in the trace."),
        steps,
      ]),
    SchemaObject(
      .repeat_, "Runs steps again and again.",
      sample: """
        steps:
          - repeat:
              times: 10
              steps:
                - migrate: {mapping: buffer, to: device}
                - touch: {mapping: buffer}
        """,
      [
        SchemaKey("times", .integer(1...1_000_000), required: true, example: "10", "How often."),
        steps,
      ]),
    SchemaObject(
      .spawn, "Starts a task.",
      sample: """
        steps:
          - spawn:
              task: toucher
              steps:
                - touch: {mapping: buffer, pages: P0}
          - join: toucher
        """,
      [
        SchemaKey("task", .name(.task), required: true, example: "toucher", "For `join`."),
        steps,
      ]),
    SchemaObject(
      .arm, "Makes a point fail.",
      sample: """
        steps:
          - arm: {point: mm.page_alloc, nth: 2, error: ENOMEM}
        """,
      groups: [passageGroup],
      [
        SchemaKey(
          "point", .choice(points), required: true, example: "dma.map", "Which point fails.")
      ] + passages + [
        SchemaKey(
          "error", .choice(errorNames), fallback: "the point's usual error", example: "ENOMEM",
          "Which error it gives; one that the point can give."),
        SchemaKey(
          "optional", .flag, fallback: "false", example: "true",
          "The run may pass although the failure never fired."),
      ]),
    SchemaObject(
      .stall, "Keeps a semaphore release of the copy channel from coming in time.",
      sample: """
        steps:
          - stall: {nth: 1, signal: late}
        """,
      groups: [passageGroup],
      passages + [
        SchemaKey(
          "signal",
          .choice([
            SchemaChoice("never", "the release is never written (point gpu.fence_stall)"),
            SchemaChoice("late", "it comes after the driver's time-out (point gpu.fence_late)"),
            SchemaChoice("wrong", "it writes a wrong value (point gpu.fence_wrong_value)"),
          ]), required: true, example: "late", "When the fence signals.")
      ]),
  ]
}
