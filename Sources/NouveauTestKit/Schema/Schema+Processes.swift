extension Schema {
  /// Objects of the steps that change processes and what they have mapped.
  static let processObjects: [SchemaObject] = [
    SchemaObject(
      .fork,
      "Copies a process with its memory. A mapping `buffer` of the parent is `kid.buffer` in the "
        + "child `kid`; from then on each has its own bytes, unless the mapping is shared. The "
        + "child has the device open.",
      sample: """
        steps:
          - fill: {mapping: buffer, pattern: index}
          - fork: {process: app, child: kid}
          - write: {mapping: kid.buffer, at: P0, value: 7}
          - read: {mapping: buffer}
        """,
      [
        SchemaKey("process", .reference(.process), required: true, example: "app", "The parent."),
        SchemaKey("child", .name(.process), required: true, example: "kid", "The copy's name."),
      ]),
    SchemaObject(
      .move, "Moves a whole mapping to other addresses; its name and its pages stay the same.",
      sample: """
        steps:
          - migrate: {mapping: buffer, to: device}
          - move: {mapping: buffer}
          - read: {mapping: buffer}
        """,
      [
        SchemaKey(
          "mapping", .reference(.mapping), required: true, example: "buffer", "Which mapping."),
        SchemaKey(
          "keep", .flag, fallback: "false", example: "true",
          "The old addresses stay mapped, empty (MREMAP_DONTUNMAP)."),
      ]),
    SchemaObject(
      .advise, "Says how pages will be used.",
      sample: """
        steps:
          - migrate: {mapping: buffer, to: device}
          - advise: {mapping: buffer, pages: P0..P3, advice: dontneed}
          - read: {mapping: buffer, pages: P0..P3, data: zeros}
        """,
      [
        SchemaKey(
          "mapping", .reference(.mapping), required: true, example: "buffer", "Which mapping."),
        SchemaKey(
          "pages", .pages, fallback: "all pages", example: "P0..P3", "Which of its pages."),
        SchemaKey(
          "advice", .choice(advices), required: true, example: "dontneed", "What is said of them."),
      ]),
    SchemaObject(
      .poison, "The memory under a page fails; whoever touches it later gets SIGBUS.",
      sample: """
        steps:
          - fill: {mapping: buffer, pattern: index}
          - poison: {mapping: buffer, page: P0}
          - read: {mapping: buffer, pages: P0}
            fails: SIGBUS
        """,
      [
        SchemaKey(
          "mapping", .reference(.mapping), required: true, example: "buffer", "Which mapping."),
        SchemaKey("page", .pages, required: true, example: "P0", "Which page; one."),
      ]),
  ]
}
