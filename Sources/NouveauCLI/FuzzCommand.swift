import ArgumentParser
import Fuzzing
import NouveauTestKit

/// `nouveau fuzz`: hostile inputs for everything that reads bytes from outside.
struct FuzzCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fuzz",
    abstract: "Feeds damaged inputs to every parser and to the emulated GPU's push buffers.",
    discussion: """
      Targets: vbios, container, pushbuffer, falcon, assembler, recording, scenario;
      none means all (--list describes them). Each input depends on its number and
      the seed alone. Inputs run in a child process; one that traps, has no end
      within 20 s or breaks the target's promise is saved to a file and told with
      the line that repeats it, and the campaign goes on.
      Exit status: 0 when nothing was found, 1 when something was, 2 when an option
      or file is bad. docs/fuzzing.md holds the record of long campaigns.

      EXAMPLES
        nouveau fuzz
        nouveau fuzz pushbuffer --inputs 1000000 --seed 7
        nouveau fuzz vbios container --inputs 10000000 --shard 2/4
        nouveau fuzz pushbuffer --seed 7 --first 8804 --inputs 1 --here
        nouveau fuzz vbios --file fuzz-vbios-7-1234.bin
      """)

  @Argument(help: "What to feed; everything when left out.")
  var targets: [String] = []

  @Option(help: "Inputs for each target.")
  var inputs: UInt64 = 100_000

  @Option(help: "Seed of the campaign.")
  var seed: UInt64 = 1

  @Option(help: "Number of the first input.")
  var first: UInt64 = 0

  @Option(help: "Part k of n of the inputs.", transform: OptionForms.shard)
  var shard: Shard = .whole

  @Option(help: "Folder for the inputs that something was found with.", completion: .directory)
  var keep = "."

  @Option(help: "Feed this file, once, in this process.", completion: .file())
  var file: String?

  @Flag(help: "Run in this process: a trap ends the command, as a debugger wants it.")
  var here = false

  @Flag(help: "Describe the targets and do nothing else.")
  var list = false

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @Option(help: .hidden)
  var journal: String?
  @Option(help: .hidden)
  var from: UInt64 = 0
  @Option(help: .hidden)
  var to: UInt64 = .max
  @Option(help: .hidden)
  var block: UInt64 = 1024

  func validate() throws {
    for name in targets where name != "all" && FuzzCatalog.target(name) == nil {
      let names = FuzzCatalog.targets().map(\.name).joined(separator: ", ")
      throw ValidationError("'\(name)' is no target; the targets are \(names) and all.")
    }
    if inputs == 0 { throw ValidationError("A campaign has at least one input.") }
    if first > .max - inputs { throw ValidationError("--first and --inputs exceed 64 bits.") }
    if block == 0 { throw ValidationError("A block has at least one input.") }
    if file != nil || journal != nil, targets.count != 1 || targets == ["all"] {
      throw ValidationError("--file needs exactly one target.")
    }
  }

  private var chosen: [any FuzzTarget] {
    targets.isEmpty || targets.contains("all")
      ? FuzzCatalog.targets() : targets.compactMap { FuzzCatalog.target($0) }
  }

  func run() throws {
    if list {
      for target in FuzzCatalog.targets() {
        Terminal.print("\(FuzzCampaign.padded(target.name, 12))\(target.summary)\n")
      }
      return
    }
    let range = FuzzRange(
      first: first, count: inputs, part: UInt64(shard.index), parts: UInt64(shard.count))
    if let journal, let target = chosen.first {
      FuzzChild(journal: journal, work: FuzzWork(target, seed: seed, range: range))
        .run(from..<to, block: block)
      return
    }
    if let file, let target = chosen.first {
      try feed(file, to: target)
      return
    }
    var reports: [FuzzCampaign.Report] = []
    for target in chosen {
      let campaign = FuzzCampaign(target: target, seed: seed, range: range, keep: keep)
      let report = here ? campaign.runHere() : try campaign.runInChildren()
      reports.append(report)
      if !json { Terminal.print(report.text) }
    }
    if json { Terminal.print(JSONValue.list(reports.map(\.json)).text() + "\n") }
    if reports.contains(where: { !$0.findings.isEmpty }) { throw ExitCode(1) }
  }

  private func feed(_ file: String, to target: any FuzzTarget) throws {
    let bytes = try FirmwareFiles.read(file)
    switch target.feed(bytes) {
    case .ended(let name): Terminal.print("\(target.name): \(bytes.count) bytes: \(name)\n")
    case .broken(let complaint):
      Terminal.print("\(target.name): \(bytes.count) bytes: BROKEN: \(complaint)\n")
      throw ExitCode(1)
    }
  }
}
