extension Schema {
  private static let mapping = SchemaKey(
    "mapping", .reference(.mapping), required: true, example: "buffer", "Which mapping.")
  private static func pages(_ summary: String = "Which of its pages.") -> SchemaKey {
    SchemaKey("pages", .pages, fallback: "all pages", example: "P0..P15", summary)
  }
  private static let by = SchemaKey(
    "by", .choice(sides), fallback: "cpu", example: "device", "Who accesses.")

  /// Objects of the steps that touch memory.
  static let stepObjects: [SchemaObject] = [
    SchemaObject(
      .fill, "Writes whole pages.",
      sample: """
        steps:
          - fill: {mapping: buffer, pages: P0..P15, random: 42}
        """,
      groups: [SchemaGroup(keys: ["pattern", "random", "file", "bytes"], count: .exactlyOne)],
      [
        mapping, pages(), by,
        SchemaKey("pattern", .choice(patterns), example: "index", "Bytes by a rule."),
        SchemaKey("random", .integer(0...UInt64.max), example: "42", "Random bytes of this seed."),
        SchemaKey(
          "file", .text, example: "data/kernel.bin",
          "Bytes of a file, beside the scenario unless absolute; zeros behind its end."),
        SchemaKey("bytes", .bytes, example: "de ad be ef", "These bytes again and again."),
      ]),
    SchemaObject(
      .write, "Writes a few bytes, which may straddle pages.",
      sample: """
        steps:
          - write: {mapping: buffer, at: P0+4092, value: 0x1122334455667788, by: device}
        """,
      groups: [SchemaGroup(keys: ["value", "bytes"], count: .exactlyOne)],
      [
        mapping,
        SchemaKey("at", .offset, required: true, example: "P3+16", "The first byte."),
        by,
        SchemaKey(
          "value", .integer(0...UInt64.max), example: "7", "A 64-bit word, least byte first."),
        SchemaKey("bytes", .bytes, example: "de ad be ef", "These bytes."),
      ]),
    SchemaObject(
      .read,
      "Reads and checks. By default each byte must be what the shadow copy allows: the last "
        + "write's byte, or one of a write that ran at the same time.",
      sample: """
        steps:
          - read: {mapping: buffer, at: P0, value: 7}
        """,
      groups: [
        SchemaGroup(keys: ["pages", "at"], count: .atMostOne),
        SchemaGroup(keys: ["data", "value", "bytes"], count: .atMostOne),
      ],
      [
        mapping, pages(),
        SchemaKey(
          "at", .offset, example: "P3+16",
          "Reads from this byte instead of whole pages; as many bytes as are checked."),
        by,
        SchemaKey("data", .choice(contents), fallback: "shadow", example: "zeros", "What it is."),
        SchemaKey(
          "value", .integer(0...UInt64.max), example: "7",
          "The first 64-bit word, least byte first."),
        SchemaKey("bytes", .bytes, example: "de ad be ef", "The first bytes."),
      ]),
    SchemaObject(
      .touch, "Accesses one byte of each page; a write stores back what is there.",
      sample: """
        steps:
          - touch: {mapping: buffer, pages: P1, write: true}
        """,
      [
        mapping, pages(),
        SchemaKey("write", .flag, fallback: "false", example: "true", "Store instead of load."),
      ]),
    SchemaObject(
      .migrate, "Moves pages. Pages that can't move stay, which is no error.",
      sample: """
        steps:
          - migrate: {mapping: buffer, pages: P0..P15, to: device, moved: 16}
        """,
      [
        mapping, pages(),
        SchemaKey(
          "to",
          .choice([
            SchemaChoice("device", "to device-private pages"),
            SchemaChoice("ram", "back to system memory"),
          ]), required: true, example: "device", "Where to."),
        SchemaKey(
          "moved", .comparison, fallback: "not checked", example: "\">= 3\"",
          "How many pages moved."),
      ]),
    SchemaObject(
      .pin, "References pages; a device page comes back to system memory first.",
      sample: """
        steps:
          - pin: {name: guard, mapping: buffer, pages: P1}
          - unpin: guard
        """,
      [
        SchemaKey("name", .name(.pin), required: true, example: "guard", "For `unpin`."),
        mapping, pages(),
        SchemaKey("write", .flag, fallback: "false", example: "true", "For writing."),
        SchemaKey(
          "long-term", .flag, fallback: "false", example: "true",
          "For as long as the user likes (FOLL_LONGTERM)."),
      ]),
    SchemaObject(
      .hold, "Takes a page's lock, as a task in the middle of reclaim or write-back holds it.",
      sample: """
        steps:
          - hold: {name: busy, mapping: buffer, page: P0}
          - release: busy
        """,
      [
        SchemaKey("name", .name(.lock), required: true, example: "busy", "For `release`."),
        mapping,
        SchemaKey("page", .pages, required: true, example: "P0", "Which page; one."),
      ]),
    SchemaObject(
      .protect, "Changes protection.",
      sample: """
        steps:
          - protect: {mapping: buffer, pages: P0..P3, protection: read}
        """,
      [
        mapping, pages(),
        SchemaKey(
          "protection", .choice(protections), required: true, example: "read",
          "What the process may do from now on."),
      ]),
    SchemaObject(
      .unmap, "Unmaps pages; later accesses get SIGSEGV.",
      sample: """
        steps:
          - unmap: {mapping: buffer, pages: P4..P7}
        """,
      [mapping, pages()]),
  ]
}
