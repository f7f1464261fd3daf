import ArgumentParser
import PCIDiscovery

/// `nouveau devices`: real boards.
struct DevicesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices",
    abstract: "Lists this machine's NVIDIA boards and whether a profile models them.",
    discussion: """
      Reads only: nothing is ever written to a device. What could not be read is
      named, with what would help. No board is an answer, and no error. Exit status:
      0; 2 when a file can't be read, parsed or written, or options exclude each
      other. docs/discovery.md describes the report and the files.

      EXAMPLES
        nouveau devices
        nouveau devices --all --json
        sudo nouveau devices --probe --rom device --record mine.json
        nouveau devices --from docs/recordings/p100-pcie-16gb.json
        nouveau devices --rom board.rom
      """)

  @Flag(help: "List every PCI device, not NVIDIA's display and 3D controllers alone.")
  var all = false

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @Flag(help: "Map BAR0 read-only and decode each board's PMC_BOOT_0.")
  var probe = false

  @Option(
    help: "Parse a video BIOS: the file of this name, or the boards' own with 'device'.",
    completion: .file(extensions: ["rom", "bin"]))
  var rom: String?

  @Option(help: "Save what was found to this file.", completion: .file(extensions: ["json"]))
  var record: String?

  @Option(
    help: "Read this recording, or lspci's text, instead of the machine.",
    completion: .file())
  var from: String?

  func run() throws {
    var command = PCIDiscovery.DevicesCommand()
    command.all = all
    command.json = json
    command.probe = probe
    command.rom = rom.map { PCIDiscovery.DevicesCommand.ROMSource($0) }
    command.record = record
    command.from = from
    let text: String
    do throws(DiscoveryError) {
      text = try command.run(in: .thisMachine)
    } catch {
      Terminal.complain("error: \(error)\n")
      throw ExitCode(2)
    }
    Terminal.print(text.hasSuffix("\n") ? text : text + "\n")
  }
}
