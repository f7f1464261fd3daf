import ArgumentParser
import Falcon

/// `nouveau firmware assemble`.
struct FirmwareAssemble: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "assemble",
    abstract: "Assembles microcode.",
    discussion: """
      Prints a listing, or writes an image or raw parts when asked to.

      EXAMPLES
        nouveau firmware assemble Firmware/pcopy.s
        nouveau firmware assemble mine.s --output mine.bin --version-number 2
        nouveau firmware assemble mine.s --code code.bin --data data.bin
      """)

  @Argument(help: "The assembly source.", completion: .file(extensions: ["s"]))
  var source: String

  @Option(name: .shortAndLong, help: "Write an image in a container to this file.")
  var output: String?

  @Option(help: "Write the raw code to this file.")
  var code: String?

  @Option(help: "Write the raw data to this file.")
  var data: String?

  @Option(help: "The chip of the image: bits 28:20 of PMC_BOOT_0, hexadecimal.")
  var chip = "0x0c0"

  @Option(help: "The version in the image.")
  var versionNumber: UInt32 = 1

  func run() throws {
    guard let number = UInt32(chip.hasPrefix("0x") ? String(chip.dropFirst(2)) : chip, radix: 16),
      number < 0x200
    else {
      throw FirmwareFiles.bad("error: '\(chip)' is no chip; give a number such as 0x0c0")
    }
    let text = try FirmwareFiles.text(source)
    let program: FalconProgram
    do throws(FalconAssemblyError) {
      program = try FalconAssembler.assemble(text, file: source)
    } catch {
      throw FirmwareFiles.bad(
        error.problems.map { "\($0.place): error: \($0.message); \($0.remedy)" }
          .joined(separator: "\n"))
    }
    if let output {
      try FirmwareFiles.write(
        output, FirmwareContainer(program: program, chip: number, version: versionNumber).bytes)
    }
    if let code { try FirmwareFiles.write(code, program.code) }
    if let data { try FirmwareFiles.write(data, program.data) }
    if output == nil && code == nil && data == nil {
      Terminal.print(Listing.text(code: program.code, data: program.data, program.symbols))
    }
  }
}

/// `nouveau firmware disassemble`.
struct FirmwareDisassemble: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disassemble",
    abstract: "Disassembles an image or raw code.",
    discussion: """
      What is printed can be assembled again and gives the same bytes.

      EXAMPLES
        nouveau firmware disassemble Firmware/nvidia/gf100/pcopy.bin
        nouveau firmware disassemble --raw nouveau/nvc0_fuc104c
      """)

  @Argument(help: "An image in a container, or raw code.")
  var image: String

  @Flag(help: "The file is raw code.")
  var raw = false

  func run() throws {
    if raw {
      Terminal.print(Listing.text(code: try FirmwareFiles.read(image), data: [], []))
      return
    }
    let container = try FirmwareFiles.container(image)
    Terminal.print(Listing.text(code: container.code, data: container.data, []))
  }
}

/// Programs as text that assembles to the same bytes.
enum Listing {
  static func text(code: [UInt8], data: [UInt8], _ symbols: [FalconProgram.Symbol]) -> String {
    var text = ".section code\n"
    var address = 0
    for line in FalconDisassembler.listing(code) {
      text += labels(symbols, .code, UInt32(address))
      let length = self.length(of: code, at: address)
      let bytes = code[address..<min(code.count, address + length)]
        .map { FirmwareFiles.hex($0, 2).dropFirst(2) }.joined(separator: " ")
      text += padded("    \(line)", 44) + "// \(FirmwareFiles.hex(address, 4)): \(bytes)\n"
      address += length
    }
    guard !data.isEmpty else { return text }
    text += "\n.section data\n"
    for start in stride(from: 0, to: data.count, by: 16) {
      for at in start..<min(start + 16, data.count) {
        text += labels(symbols, .data, UInt32(at))
      }
      let row = data[start..<min(start + 16, data.count)]
      let bytes = row.map { FirmwareFiles.hex($0, 2) }.joined(separator: " ")
      text += padded("    .b8 \(bytes)", 92) + "// \(FirmwareFiles.hex(start, 4))\n"
    }
    return text
  }

  /// Bytes of the line that the disassembler makes of what stands at `address`.
  private static func length(of code: [UInt8], at address: Int) -> Int {
    switch FalconDecoder.decode(code, at: address) {
    case .instruction(let instruction): instruction.length
    case .undefined(_, let length): length
    case .truncated: code.count - address
    }
  }

  private static func labels(
    _ symbols: [FalconProgram.Symbol], _ section: FalconProgram.Section, _ address: UInt32
  ) -> String {
    symbols.filter { $0.section == section && $0.value == address }
      .map { "// \($0.name):\n" }.joined()
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }
}
