extension Schema {
  static let topObjects: [SchemaObject] = [
    SchemaObject(
      .scenario, "The whole file.",
      sample: """
        scenario: one-page-there-and-back
        summary: A page keeps its bytes on the way to the device and back.
        processes:
          - name: app
            mappings:
              - {name: buffer, size: 1 page}
        steps:
          - fill: {mapping: buffer, pattern: index}
          - migrate: {mapping: buffer, to: device}
          - read: {mapping: buffer}
          - expect: {leaks: none}
        """,
      [
        SchemaKey(
          "scenario", .text, required: true, example: "one-page-there-and-back",
          "The name, as reports print it."),
        SchemaKey(
          "summary", .text, required: true, example: "A page keeps its bytes on the way.",
          "What the scenario shows, in a sentence."),
        SchemaKey(
          "covers", .list(.text), example: "[N01, N02]",
          "Entries of bug catalogues or rules that the scenario stands for; for reports."),
        SchemaKey(
          "reaches", .list(.choice(marks)), example: "[wait on a migration entry]",
          "What some order has to reach: `nouveau explore` fails when none of its orders did."),
        SchemaKey(
          "machine", .object(.machine), fallback: "every key's own default",
          example: "{ram: 32 MiB, vram: 64 MiB}", "The machine that the steps run on."),
        SchemaKey(
          "processes", .list(.object(.process)), required: true,
          example: "[{name: app, mappings: [{name: buffer, size: 1 page}]}]",
          "Address spaces and what is mapped in them before the first step."),
        SchemaKey(
          "steps", .list(.object(.step)), required: true,
          example: "[{fill: {mapping: buffer, pattern: index}}]",
          "What happens, in order. The first step that does not hold ends the run."),
      ]),
    SchemaObject(
      .machine, "The machine: sizes, device, policy, and where choices come from.",
      sample: """
        machine:
          profile: gp100
          ram: 32 MiB
          vram: 64 MiB
          policy: single
          seed: 7
          mode: simulated
          order: fifo
        """,
      [
        SchemaKey(
          "profile",
          .choice([
            SchemaChoice("gp100", "Pascal GP100: copy engine class C0B5, one page fault"),
            SchemaChoice(
              "gf100-copy",
              "the same host with Fermi's copy engines: class 90B5, carried out by microcode"),
          ]),
          fallback: "gp100", example: "gp100", "The GPU."),
        SchemaKey(
          "ram", .size((1 << 20)...(1 << 38), multipleOf: pageBytes), fallback: "64 MiB",
          example: "32 MiB", "System memory."),
        SchemaKey(
          "vram", .size((8 << 20)...(1 << 40), multipleOf: 1 << 20), fallback: "64 MiB",
          example: "16 MiB", "Video memory. Chunks of device memory are 2 MiB of it."),
        SchemaKey(
          "gpus", .integer(1...4), fallback: "1", example: "2",
          "How many GPUs of that profile, each with so much video memory."),
        SchemaKey(
          "peers",
          .choice([
            SchemaChoice("stay", "they stay where they are, as with nouveau"),
            SchemaChoice("host", "they come back to RAM first"),
            SchemaChoice("direct", "a copy engine moves them over the bus; else as `host`"),
          ]), fallback: "stay", example: "direct",
          "What a migration to one GPU does with pages of another."),
        SchemaKey(
          "peer-engine",
          .choice([
            SchemaChoice("source", "of the GPU that has them: it writes into the other's BAR1"),
            SchemaChoice("destination", "of the GPU that gets them: it reads the other's BAR1"),
          ]), fallback: "source", example: "destination",
          "Whose copy engine moves pages between GPUs."),
        SchemaKey(
          "peer-access", .flag, fallback: "true", example: "false",
          "Whether the bus has a path from each GPU to the others' memory."),
        SchemaKey(
          "policy",
          .choice([
            SchemaChoice("single", "the page that was hit, as nouveau does"),
            SchemaChoice("block-4", "the aligned block of 4 pages"),
            SchemaChoice("block-16", "the aligned block of 16 pages"),
            SchemaChoice("block-64", "the aligned block of 64 pages"),
            SchemaChoice("block-512", "the aligned block of 2 MiB"),
          ]), fallback: "single", example: "block-16",
          "How much a CPU fault on a device page brings back, cut to the mapping."),
        SchemaKey(
          "batch", .integer(1...512), fallback: "the driver's own", example: "128",
          "Pages of one batch of a bulk migration; nouveau's is 128."),
        SchemaKey(
          "kept-chunks", .integer(0...64), fallback: "the driver's own", example: "0",
          "Empty chunks that are not given back unasked."),
        SchemaKey(
          "swap", .size(pageBytes...(1 << 38), multipleOf: pageBytes), fallback: "none",
          example: "16 MiB", "Swap space; without it nothing is swapped out."),
        SchemaKey(
          "memory-limit", .size(pageBytes...(1 << 38), multipleOf: pageBytes), fallback: "none",
          example: "1 MiB",
          "What all processes together may have, in RAM and on the device; pages that come back "
            + "are never refused for it."),
        SchemaKey(
          "out-of-memory",
          .choice([
            SchemaChoice("fail", "the access gets OOM"),
            SchemaChoice("kill", "the process with the most memory loses all of it"),
          ]), fallback: "fail", example: "kill",
          "What happens when memory, or its limit, is reached and nothing can be reclaimed."),
        SchemaKey(
          "huge-pages",
          .choice([
            SchemaChoice("never", "pages of 4 KiB only"),
            SchemaChoice("madvise", "in mappings that were advised `huge`"),
            SchemaChoice("always", "wherever 2 MiB of anonymous memory fit"),
          ]), fallback: "never", example: "always", "When a first touch brings a page of 2 MiB."),
        SchemaKey(
          "huge-device-pages", .flag, fallback: "false", example: "true",
          "Huge pages stay whole on the device where a chunk is free as a whole; Linux 6.12 splits "
            + "them."),
        SchemaKey(
          "unified-walk", .integer(0...64), fallback: "0", example: "3",
          "Bulk migrations collect by the walk that was proposed in 2025. A batch whose range "
            + "changes meanwhile is tried so often, then its pages stay; 0 is the older way."),
        SchemaKey(
          "seed", .integer(0...UInt64.max), fallback: "0", example: "7",
          "Seeds random order and model draws; `--seed` on the command line overrides it."),
        SchemaKey(
          "mode",
          .choice([
            SchemaChoice("simulated", "virtual clock, one thread, every run the same"),
            SchemaChoice("real-time", "wall clock; copy engines work on threads of their own"),
          ]), fallback: "simulated", example: "simulated",
          "How time passes; `--realtime` on the command line overrides it."),
        SchemaKey(
          "order",
          .choice([
            SchemaChoice("fifo", "first come, first served, no preemption"),
            SchemaChoice("random", "a random walk over everything that could run, from the seed"),
          ]), fallback: "fifo", example: "random", "Which task runs next."),
      ]),
    SchemaObject(
      .process, "A process with its own address space.",
      sample: """
        processes:
          - name: app
            mappings:
              - {name: buffer, size: 64 KiB}
        """,
      [
        SchemaKey("name", .name(.process), required: true, example: "app", "Its name."),
        SchemaKey(
          "mappings", .list(.object(.mapping)), required: true,
          example: "[{name: buffer, size: 64 KiB}]", "Its mappings, in order."),
      ]),
    SchemaObject(
      .mapping,
      "A mapping, private and anonymous unless `kind` says otherwise. Its pages are P0, P1, … from "
        + "its first byte; a gap of at least one page lies behind it.",
      sample: """
        processes:
          - name: app
            mappings:
              - name: buffer
                size: 259 pages
                protection: read-write
        """,
      [
        SchemaKey(
          "name", .name(.mapping), required: true, example: "buffer",
          "Its name; unique in the file, so that steps need not name the process."),
        SchemaKey(
          "size", .size(pageBytes...maximumMapping, multipleOf: pageBytes), required: true,
          example: "64 KiB", "Its length."),
        SchemaKey(
          "protection", .choice(protections), fallback: "read-write", example: "read-write",
          "What the process may do with it."),
        SchemaKey(
          "kind", .choice(mappingKinds), fallback: "anonymous", example: "shared",
          "What stands behind it."),
      ]),
    SchemaObject(
      .step,
      "One step: exactly one verb, and what it should come back with.",
      sample: """
        steps:
          - read: {mapping: buffer, pages: P0}
            fails: SIGBUS
            name: the copy back fails
        """,
      groups: [SchemaGroup(keys: verbNames, count: .exactlyOne)],
      verbKeys + [
        SchemaKey(
          "name", .text, example: "the copy back fails",
          "A label for reports; otherwise the step's number and verb are used."),
        SchemaKey(
          "gpu", .integer(0...3), fallback: "0; all of them for `teardown` and the like",
          example: "1",
          "Which GPU it is about, counted from 0: where pages go to, who accesses, what sleeps, "
            + "whose counters."),
        SchemaKey(
          "fails", .either(.choice(outcomes), .list(.choice(outcomes))), fallback: "none",
          example: "[none, SIGBUS]",
          "What the step comes back with; a list allows each. `none` is success."),
      ]),
  ]
}
