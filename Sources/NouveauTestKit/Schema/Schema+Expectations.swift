extension Schema {
  /// Objects of `expect`.
  static let expectationObjects: [SchemaObject] = [
    SchemaObject(
      .expect, "What should hold now. Each part that doesn't is reported; looking changes nothing.",
      sample: """
        steps:
          - expect:
              data: [{mapping: buffer}]
              location: {buffer: {P0..P15: device}}
              counters: {pages-to-device: 16}
              errors: none
              fences: {pending: 0}
              trace: {order: [fence.emit, fence.signal]}
              leaks: none
        """,
      [
        SchemaKey(
          "data", .list(.object(.data)), example: "[{mapping: buffer, is: shadow}]",
          "The bytes of pages, read where they lie, without a fault."),
        SchemaKey(
          "location",
          .table(key: .reference(.mapping), value: .table(key: .pages, value: .choice(locations))),
          example: "{buffer: {P0..P3: device, P4: ram}}", "Where each page lies."),
        SchemaKey(
          "why",
          .table(
            key: .reference(.mapping),
            value: .table(
              key: .pages, value: .either(.choice(reasons), .list(.choice(reasons))))),
          example: "{buffer: {P1: pinned, P2..P3: [none, lost-race]}}",
          "Why pages stayed in the last `migrate` of that mapping; a list allows each."),
        SchemaKey(
          "counters", .table(key: .choice(counters), value: .comparison),
          example: "{pages-to-device: 16, launches: \">= 1\"}", "Counters of the machine."),
        SchemaKey(
          "errors",
          .either(
            .choice([SchemaChoice("none", "every step so far succeeded")]),
            .table(key: .choice(outcomes), value: .comparison)),
          example: "{SIGBUS: 1}", "How many steps so far came back with which error."),
        SchemaKey(
          "injected", .table(key: .choice(points), value: .comparison), example: "{dma.map: 1}",
          "How often a point was made to fail so far."),
        SchemaKey(
          "fences", .object(.fences), example: "{pending: 0}", "The status of all fences so far."),
        SchemaKey(
          "trace", .object(.trace), example: "{order: [fence.emit, fence.signal]}",
          "What the trace shows."),
        SchemaKey(
          "leaks", .choice([SchemaChoice("none", "the audit of the machine finds no offence")]),
          example: "none",
          "Audits the whole machine. The end of every run does so too."),
      ]),
    SchemaObject(
      .data, "The bytes that pages should hold.",
      sample: """
        steps:
          - expect: {data: [{mapping: buffer, pages: P0..P3, is: zeros}]}
        """,
      [
        SchemaKey(
          "mapping", .reference(.mapping), required: true, example: "buffer", "Which mapping."),
        SchemaKey(
          "pages", .pages, fallback: "all pages", example: "P0..P3", "Which of its pages."),
        SchemaKey("is", .choice(contents), fallback: "shadow", example: "zeros", "What they hold."),
      ]),
    SchemaObject(
      .fences, "How many fences have which status.",
      sample: """
        steps:
          - expect: {fences: {signalled: ">= 1", failed: 0, pending: 0}}
        """,
      [
        SchemaKey("signalled", .comparison, example: "\">= 1\"", "Signalled without an error."),
        SchemaKey("failed", .comparison, example: "0", "Signalled with an error."),
        SchemaKey("pending", .comparison, example: "0", "Not signalled yet."),
      ]),
    SchemaObject(
      .trace, "Events by the names that the trace prints.",
      sample: """
        steps:
          - expect:
              trace:
                order: [fence.emit, fence.signal]
                absent: [fence.error]
                count: {fence.emit: ">= 1"}
        """,
      [
        SchemaKey(
          "order", .list(.text), example: "[fence.emit, fence.signal]",
          "These happened in this order; others may lie between."),
        SchemaKey("absent", .list(.text), example: "[fence.error]", "These never happened."),
        SchemaKey(
          "count", .table(key: .text, value: .comparison), example: "{fence.emit: 2}",
          "How often these happened."),
      ]),
  ]
}
