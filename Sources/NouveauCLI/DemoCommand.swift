import ArgumentParser
import Base
import Falcon
import Machine
import NouveauTestKit

/// `nouveau demo`: the narrated run.
struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "A narrated run: 8 MiB of real bytes go to the device and back.",
    discussion: """
      Brings the emulated GPU up, migrates the bytes, lets the GPU read and write
      them, faults pages back, survives an injected copy error, and unbinds the
      driver. Ends with the driver's counters and the SHA-256 of the bytes before
      and after. Exit status: 0 when both are equal and nothing leaked, else 1;
      2 when the file can't be read.

      EXAMPLES
        nouveau demo
        nouveau demo --file /boot/vmlinuz
        nouveau demo --profile gf100-copy
        nouveau demo --quiet && echo fine
      """)

  @Option(help: "The file whose first 8 MiB travel; by default the command itself.")
  var file: String?

  @Option(help: "The GPU: \(GPUProfiles.names.joined(separator: " or ")).")
  var profile = GPUProfiles.names[0]

  @Option(help: "Seed of draws in the model.")
  var seed: UInt64 = 0

  @Flag(name: .shortAndLong, help: "Print the result only.")
  var quiet = false

  func validate() throws {
    if !GPUProfiles.names.contains(profile) {
      throw ValidationError("The GPU is one of: \(GPUProfiles.names.joined(separator: ", ")).")
    }
    if let problem = GPUProfiles.whatIsMissing(for: profile) {
      throw ValidationError("\(problem); run the command in the project's folder.")
    }
  }

  func run() throws {
    let path = file ?? "/proc/self/exe"
    guard let bytes = ScenarioFile.read(path) else {
      Terminal.complain("\(path): error: the file can't be read; name a readable file\n")
      throw ExitCode(2)
    }
    let isQuiet = quiet
    let demo: Demo
    do throws(KernelError) {
      demo = try Demo(bytes: bytes, seed: seed, profile: profile, hash: SHA256.hex) { line in
        if !isQuiet { Terminal.print(line + "\n") }
      }
    } catch {
      Terminal.complain("the machine can't be made: \(error)\n")
      throw ExitCode(1)
    }
    let result = demo.run()
    Terminal.print("SHA-256 before: \(result.hashBefore)\nSHA-256 after:  \(result.hashAfter)\n")
    for offence in result.offences { Terminal.complain("error: \(offence)\n") }
    Terminal.print(result.passed ? "nothing lost, nothing leaked\n" : "FAILED\n")
    if !result.passed { throw ExitCode(1) }
  }
}
