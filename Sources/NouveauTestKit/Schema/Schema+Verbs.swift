extension Schema {
  static let verbNames = verbKeys.map(\.name)

  /// The verbs of a step.
  static let verbKeys: [SchemaKey] = [
    SchemaKey(
      "fill", .object(.fill), example: "{mapping: buffer, pattern: index}",
      "Writes whole pages from a pattern, a generator, a file or given bytes."),
    SchemaKey(
      "write", .object(.write), example: "{mapping: buffer, at: P0+8, value: 7}",
      "Writes a few bytes anywhere."),
    SchemaKey(
      "read", .object(.read), example: "{mapping: buffer, pages: P0..P15}",
      "Reads bytes and checks them."),
    SchemaKey(
      "touch", .object(.touch), example: "{mapping: buffer, pages: P1}",
      "Accesses one byte of each page without looking at it."),
    SchemaKey(
      "migrate", .object(.migrate), example: "{mapping: buffer, to: device}",
      "Moves pages to the device or back."),
    SchemaKey(
      "pin", .object(.pin), example: "{name: guard, mapping: buffer, pages: P1}",
      "Takes extra references on pages, as get_user_pages does; such pages can't migrate."),
    SchemaKey("unpin", .reference(.pin), example: "guard", "Drops the references of a pin."),
    SchemaKey(
      "hold", .object(.hold), example: "{name: busy, mapping: buffer, page: P0}",
      "Takes the lock of a page and keeps it."),
    SchemaKey("release", .reference(.lock), example: "busy", "Leaves a page lock taken by `hold`."),
    SchemaKey(
      "protect", .object(.protect), example: "{mapping: buffer, protection: read}",
      "Changes what the process may do (mprotect)."),
    SchemaKey(
      "unmap", .object(.unmap), example: "{mapping: buffer, pages: P4..P7}",
      "Unmaps pages (munmap)."),
    SchemaKey(
      "fork", .object(.fork), example: "{process: app, child: kid}",
      "Copies a process; its copy's mappings are `kid.buffer` and so on (fork)."),
    SchemaKey(
      "move", .object(.move), example: "{mapping: buffer}",
      "Moves a mapping with its pages to other addresses (mremap)."),
    SchemaKey(
      "advise", .object(.advise), example: "{mapping: buffer, advice: dontneed}",
      "Says how pages will be used (madvise, mlock)."),
    SchemaKey(
      "poison", .object(.poison), example: "{mapping: buffer, page: P0}",
      "The memory under a page fails (memory_failure)."),
    SchemaKey(
      "exit", .reference(.process), example: "app", "Ends a process (exit_mmap)."),
    SchemaKey(
      "parallel", .list(.object(.branch)),
      example: "[{steps: [{touch: {mapping: buffer}}]}, {steps: [{touch: {mapping: buffer}}]}]",
      "Runs branches as tasks of their own and waits for all of them."),
    SchemaKey(
      "repeat", .object(.repeat_), example: "{times: 10, steps: [{touch: {mapping: buffer}}]}",
      "Runs steps many times."),
    SchemaKey(
      "spawn", .object(.spawn), example: "{task: toucher, steps: [{touch: {mapping: buffer}}]}",
      "Starts a task and goes on. A task nobody joins is joined at the end."),
    SchemaKey("join", .reference(.task), example: "toucher", "Waits for a spawned task."),
    SchemaKey(
      "arm", .object(.arm), example: "{point: dma.map, nth: 1}",
      "Makes an injection point fail. A run in which it never fired does not pass."),
    SchemaKey(
      "disarm", .choice([SchemaChoice("all", "every rule")] + points), example: "dma.map",
      "Takes back the rules of a point, or all of them."),
    SchemaKey(
      "stall", .object(.stall), example: "{nth: 1, signal: never}",
      "Keeps a fence of the copy channel from signalling in time."),
    SchemaKey("delay", .duration, example: "16 s", "Lets time pass on the kernel's clock."),
    SchemaKey("suspend", .nothing, example: "", "Suspends the device; its pages keep their bytes."),
    SchemaKey("resume", .nothing, example: "", "Resumes the device."),
    SchemaKey(
      "trim", .nothing, example: "", "Gives chunks back in which no page is in use."),
    SchemaKey(
      "teardown", .nothing, example: "",
      "Shuts the driver down: work on the GPU ends, device pages go back to system memory."),
    SchemaKey(
      "expect", .object(.expect), example: "{leaks: none}",
      "Checks data, places, counters, errors, fences, the trace, and that nothing leaked."),
  ]
}
