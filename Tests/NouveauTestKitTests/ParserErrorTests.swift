import NouveauTestKit
import Testing

@Suite struct ParserErrorTests {
  @Test(arguments: [
    ("fil: {mapping: buffer}", "8:5: error: 'fil' is no key of a step; did you mean 'fill'?"),
    (
      "fill: {maping: buffer, pattern: index}",
      "8:12: error: 'maping' is no key of 'fill'; did you mean 'mapping'?"
    ),
    (
      "touch: {mapping: bufer}",
      "8:22: error: no mapping 'bufer' is defined before this line; did you mean 'buffer'?"
    ),
    (
      "touch: {mapping: buffer, pages: P0..P16}",
      "8:37: error: P0..P16 reaches past the end of 'buffer'; its pages are P0..P15"
    ),
    (
      "touch: {mapping: buffer, pages: P5..P2}",
      "8:37: error: 'pages' is 'P5..P2'; write pages, lower end first, such as 'P3' or 'P0..P15'"
    ),
    (
      "fill: {mapping: buffer}",
      "8:11: error: 'fill' lacks one of its keys; add one of: pattern, random, file, bytes"
    ),
    (
      "fill: {mapping: buffer, pattern: index, random: 3}",
      "8:11: error: 'fill' has 'pattern' and 'random' together; keep one of them"
    ),
    (
      "arm: {point: dma.mapp, nth: 1}",
      "8:18: error: 'point' is 'dma.mapp'; did you mean 'dma.map'?"
    ),
    (
      "arm: {point: dma.map, nth: 0}",
      "8:32: error: 'nth' is 0; write a number from 1 to 18446744073709551615"
    ),
    (
      "arm: {point: dma.map, nth: 1, error: ENOSPC}",
      "8:42: error: dma.map can't give ENOSPC; it gives EIO or ENOMEM"
    ),
    (
      "delay: 15",
      "8:12: error: 'delay' is '15'; write a time with a unit (ns, us, ms, s), "
        + "such as '15 s' or '200 us'"
    ),
    (
      "suspend: now",
      "8:14: error: 'suspend' takes no value; write 'suspend:' with nothing behind it"
    ),
    (
      "write: {mapping: buffer, at: P15+4090, value: 1}",
      "8:34: error: 8 bytes at P15+4090 reach past the end of 'buffer'; its pages are P0..P15, "
        + "65536 bytes"
    ),
    (
      "touch: [buffer]",
      "8:12: error: 'touch' is a list; write an object with the keys mapping, pages, write"
    ),
    (
      "repeat: {times: 2, steps: []}",
      "8:31: error: 'steps' is an empty list; write at least one of an object (step)"
    ),
    (
      "unpin: guard",
      "8:12: error: no pin 'guard' is defined before this line; "
        + "this file defines no pin"
    ),
    (
      "expect: {counters: {launchs: 1}}",
      "8:25: error: 'counters' is 'launchs'; did you mean 'launches'?"
    ),
    (
      "fill: {mapping: buffer, file: no.bin}",
      "8:35: error: the file 'no.bin' can't be read; name a readable file; relative paths begin "
        + "at the scenario's folder"
    ),
  ])
  func aBadStep_isNamedWithPlaceAndRemedy(step: String, message: String) {
    #expect(Kit.errors(Kit.header + "  - \(step)\n") == ["f.yaml:" + message])
  }

  @Test(arguments: [
    ("", "1:1: error: the file is empty; a scenario begins with the key 'scenario'"),
    (
      "a: 1\na: 2\n",
      "1:1: error: the key 'a' stands twice in one object; keep one of them"
    ),
    (
      "scenario: [", "4:1: error: not YAML: "
    ),
    ("x: *y\n", "1:4: error: aliases are not allowed; write the value out, or quote the text"),
    ("just text", "1:1: error: 'scenario' is the text 'just text'; write an object with the keys "),
  ])
  func aFileThatIsNoScenario_isRefusedInOneMessage(text: String, message: String) {
    let errors = Kit.errors(text)
    #expect(errors.count == 1)
    let expected = "f.yaml:" + message
    // A syntax error's place and words are the YAML library's own; the head is ours.
    let head = message.hasPrefix("4:1: error: not YAML") ? "f.yaml:" : expected
    #expect(errors.first?.hasPrefix(head) == true, "\(errors)")
  }

  @Test func everyErrorOfAFile_isReportedInItsOrder() {
    let errors = Kit.errors(
      """
      scenario: many
      machine:
        ram: 100 KiB
        profile: gp1000
        mode: [simulated]
        colour: red
      processes:
        - name: app
          mappings:
            - {name: buffer, size: 5000}
            - {size: 1 page}
      steps:
        - fill: {mapping: buffer, pattern: stripes}
        - name: nothing
      """)
    #expect(
      errors == [
        "f.yaml:1:1: error: the scenario lacks the key 'summary'; "
          + "add 'summary: A page keeps its bytes on the way.'",
        "f.yaml:3:8: error: 'ram' is 100 KiB; write a size from 1 MiB to 256 GiB",
        "f.yaml:4:12: error: 'profile' is 'gp1000'; did you mean 'gp100'?",
        "f.yaml:5:9: error: 'mode' is a list; "
          + "write simulated or real-time, such as 'simulated'",
        "f.yaml:6:3: error: 'colour' is no key of 'machine'; "
          + "a key here is one of: profile, ram, vram, gpus, peers, peer-engine, peer-access, "
          + "policy, batch, kept-chunks, swap, memory-limit, out-of-memory, huge-pages, "
          + "huge-device-pages, unified-walk, seed, mode, order",
        "f.yaml:10:30: error: 'size' is 5000 bytes; write a multiple of 4 KiB",
        "f.yaml:11:9: error: a mapping lacks the key 'name'; add 'name: buffer'",
        "f.yaml:13:38: error: 'pattern' is 'stripes'; "
          + "the value is one of: index, page-number, ones, zeros",
        "f.yaml:14:5: error: a step lacks one of its keys; add one of: "
          + "fill, write, read, touch, migrate, pin, unpin, hold, release, protect, unmap, "
          + "fork, move, advise, poison, exit, parallel, repeat, spawn, join, arm, disarm, "
          + "stall, delay, suspend, resume, trim, teardown, expect",
      ])
  }

  @Test func namesDefinedTwice_pointToTheFirst() {
    let errors = Kit.errors(
      """
      scenario: twice
      summary: Twice.
      processes:
        - name: app
          mappings:
            - {name: buffer, size: 1 page}
            - {name: buffer, size: 1 page}
        - name: app
          mappings: [{name: other, size: 1 page}]
      steps:
        - touch: {mapping: other}
      """)
    #expect(
      errors == [
        "f.yaml:7:16: error: the mapping 'buffer' is already defined in line 6; "
          + "give it another name",
        "f.yaml:8:11: error: the process 'app' is already defined in line 4; give it another name",
      ])
  }

  @Test func bytesThatAreNoText_areRefusedWithTheirPlace() {
    #expect(throws: ScenarioErrors.self) {
      try ScenarioParser().parse(bytes: [0x61, 0x0a, 0x62, 0xff], file: "f.yaml")
    }
    do throws(ScenarioErrors) {
      _ = try ScenarioParser().parse(bytes: [0x61, 0x0a, 0x62, 0xff], file: "f.yaml")
    } catch {
      #expect(
        error.description
          == "f.yaml:2:2: error: byte 3 is not UTF-8; save the file as UTF-8")
    }
  }

  @Test func deepNesting_isRefusedBeforeItCostsStack() {
    let flow = "scenario: " + String(repeating: "[", count: 100_000)
    #expect(Kit.errors(flow).first?.contains("nested too deep") == true)
    let block = "a:\n" + String(repeating: "- ", count: 10_000) + "x\n"
    #expect(Kit.errors(block).first?.contains("nested too deep") == true)
  }
}
