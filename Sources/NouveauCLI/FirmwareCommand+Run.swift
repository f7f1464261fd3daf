import ArgumentParser
import Falcon

/// `nouveau firmware run`.
struct FirmwareRun: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Runs microcode on a copy engine and says what each method did.",
    discussion: """
      The list of methods has one per line, by name or byte offset, with its data;
      `fill ADDRESS COUNT BYTE` and `show ADDRESS COUNT` write and print memory of the
      channel. Exit status 1: a method was refused, was not taken, or met something
      that no source defines.

      EXAMPLES
        nouveau firmware run --image Firmware/nvidia/gf100/pcopy.bin methods.txt
        nouveau firmware run --code nvc0_fuc104c --data nvc0_fuc104d methods.txt --trace
      """)

  @Argument(help: "The list of methods.", completion: .file())
  var methods: String

  @Option(help: "An image in a container.", completion: .file(extensions: ["bin"]))
  var image: String?

  @Option(help: "Raw code.", completion: .file())
  var code: String?

  @Option(help: "Raw data.", completion: .file())
  var data: String?

  @Option(help: "Which of the chip's two engines it is: 0 or 1.")
  var engine: UInt32 = 0

  @Option(help: "Cycles that a method may take.")
  var budget: UInt64 = 10_000_000

  @Flag(help: "Print every instruction and I/O access too.")
  var trace = false

  func validate() throws {
    guard (image == nil) != (code == nil) else {
      throw ValidationError("Give either --image, or --code with --data.")
    }
    if image != nil, data != nil {
      throw ValidationError("--data goes with --code; an image has data of its own.")
    }
    if engine > 1 { throw ValidationError("The engines are 0 and 1.") }
    if budget == 0 { throw ValidationError("A method takes at least one cycle.") }
  }

  func run() throws {
    let (code, data, entry) = try microcode()
    guard PCOPYBench.room(code: code.count, data: data.count) else {
      throw FirmwareFiles.bad(
        "error: \(code.count) bytes of code and \(data.count) of data do not fit the engine; "
          + "it has "
          + "\(FalconConfiguration.pcopy.codeBytes) and \(FalconConfiguration.pcopy.dataBytes)")
    }
    let script: PCOPYScript
    let text = try FirmwareFiles.text(methods)
    do throws(FalconAssemblyError) {
      script = try PCOPYScript(text, file: methods)
    } catch {
      throw FirmwareFiles.bad(
        error.problems.map { "\($0.place): error: \($0.message); \($0.remedy)" }
          .joined(separator: "\n"))
    }
    let printer = TracePrinter()
    let bench = PCOPYBench(instance: engine, budget: budget)
    if trace { bench.trace = printer }
    if !BenchRun(bench: bench).run(script, code: code, data: data, entry: entry) {
      throw ExitCode(1)
    }
  }

  private func microcode() throws -> (code: [UInt8], data: [UInt8], entry: UInt32) {
    if let image {
      let container = try FirmwareFiles.container(image)
      return (container.code, container.data, container.entry)
    }
    return (
      try code.map(FirmwareFiles.read) ?? [], try data.map(FirmwareFiles.read) ?? [], 0
    )
  }
}

/// A script on a bench, told line by line.
struct BenchRun {
  let bench: PCOPYBench

  /// False when something did not go as the class describes.
  func run(_ script: PCOPYScript, code: [UInt8], data: [UInt8], entry: UInt32) -> Bool {
    var isGood = tell("start", bench.start(code: code, data: data, entry: entry))
    guard isGood else { return false }
    isGood = tell("channel switch", bench.switchChannel())
    guard isGood else { return false }
    for step in script.steps {
      switch step {
      case .fill(let address, let bytes): bench.fill(address, bytes)
      case .show(let address, let count): show(address, count)
      case .method(let method):
        let offset = method.number << 2
        let name = PCOPYMethodNames.name(of: offset) ?? "?"
        let title =
          "\(FirmwareFiles.hex(offset, 3)) \(padded(name, 18)) "
          + FirmwareFiles.hex(method.data, 8)
        isGood = tell(title, bench.run(method)) && isGood
      }
    }
    return isGood
  }

  private func tell(_ title: String, _ report: PCOPYBench.Report) -> Bool {
    let ending = report.isDone ? "done after" : "NOT DONE after"
    Terminal.print(
      padded(title, 36) + "\(ending) \(report.cycles) cycles, "
        + "\(report.instructions) instructions\n")
    for copy in report.copies { Terminal.print("    \(text(copy))\n") }
    if let refusal = report.refusal {
      let names = [1: "ILLEGAL_MTHD", 2: "INVALID_ENUM", 3: "INVALID_BITFIELD"]
      Terminal.print(
        "    refused: dispatch error \(refusal.code) "
          + "[\(names[Int(refusal.code)] ?? "unknown")], scratch0 "
          + "\(FirmwareFiles.hex(refusal.scratch0, 8)), data "
          + "\(FirmwareFiles.hex(refusal.data, 8))\n")
    }
    for event in report.events { Terminal.print("    event: \(event)\n") }
    if let stop = report.stop { Terminal.print("    the processor stands still: \(stop)\n") }
    return report.isGood
  }

  private func text(_ copy: PCOPYCopy) -> String {
    let size = "\(copy.lines) x \(copy.lineBytes) bytes"
    let to = FirmwareFiles.hex(copy.destinationAddress, 10)
    let what = copy.isSwizzled ? "swizzled copy" : "copy"
    guard copy.source != nil else { return "write \(size) to \(to), cycle \(copy.cycle)" }
    let from = FirmwareFiles.hex(copy.sourceAddress, 10)
    return "\(what) of \(size) from \(from) to \(to), cycle \(copy.cycle)"
  }

  private func show(_ address: UInt64, _ count: Int) {
    let bytes = bench.bytes(address, count: count)
    for start in stride(from: 0, to: count, by: 16) {
      let row = bytes[start..<min(start + 16, count)]
        .map { FirmwareFiles.hex($0, 2).dropFirst(2) }.joined(separator: " ")
      Terminal.print("\(FirmwareFiles.hex(address + UInt64(start), 10)): \(row)\n")
    }
  }

  private func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }
}

/// Prints what a falcon does.
private final class TracePrinter: FalconTraceSink {
  private func line(_ cycle: UInt64, _ text: String) {
    Terminal.print("  \(cycle)  \(text)\n")
  }

  func falconWillExecute(_ instruction: FalconInstruction, at pc: UInt32, cycle: UInt64) {
    line(
      cycle,
      "\(FirmwareFiles.hex(pc, 4))  \(FalconDisassembler.text(instruction, at: pc))")
  }

  func falconDidAccessIO(address: UInt32, value: UInt32, isWrite: Bool, cycle: UInt64) {
    let sign = isWrite ? "<-" : "->"
    line(
      cycle, "        I[\(FirmwareFiles.hex(address, 5))] \(sign) \(FirmwareFiles.hex(value, 8))")
  }

  func falconDidTakeInterrupt(vector: Int, pending: UInt32, cycle: UInt64) {
    line(cycle, "        interrupt to vector \(vector), lines \(FirmwareFiles.hex(pending, 4))")
  }
}
