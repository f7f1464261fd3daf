public import Base
import DMAFence
import EmulatedGPU
import KernelRuntime
import LinuxMM
import Machine
import Nouveau

/// The narrated run of `nouveau demo`: real bytes go to the device and back, an error is injected
/// on the way, and nothing is lost.
public final class Demo {
  /// What came of it.
  public struct Result: Sendable {
    /// What did not hold; empty when all did.
    public let offences: [String]
    public let hashBefore: String
    public let hashAfter: String

    /// Nothing was lost and nothing leaked.
    public var passed: Bool { offences.isEmpty && hashBefore == hashAfter }
  }

  /// The bytes that travel: whole pages.
  let content: [UInt8]
  let machine: Machine
  let say: (String) -> Void
  let hash: ([UInt8]) -> String
  var offences: [String] = []

  /// - Parameters:
  ///   - bytes: what travels, cut or filled up with zeros to `byteCount`.
  ///   - profile: the GPU, a name of `GPUProfiles`.
  ///   - hash: names the bytes before and after, such as SHA-256.
  ///   - say: told each line of the narration.
  /// - Throws: `EINVAL` for a profile that isn't there, `ENOMEM` when the machine can't be made.
  public init(
    bytes: [UInt8], byteCount: Int = 8 << 20, seed: UInt64 = 0, profile: String = "gp100",
    hash: @escaping ([UInt8]) -> String, say: @escaping (String) -> Void
  ) throws(KernelError) {
    content =
      Array(bytes.prefix(byteCount))
      + [UInt8](repeating: 0, count: max(0, byteCount - bytes.count))
    var configuration = MachineConfiguration()
    configuration.ramBytes = 64 << 20
    guard let chip = GPUProfiles.chip(named: profile) else { throw .EINVAL }
    configuration.gpu.chip = chip
    configuration.gpu.vramBytes = 64 << 20
    configuration.choices = FIFOChoices(seed: seed)
    machine = try Machine(configuration)
    self.say = say
    self.hash = hash
  }

  /// Runs the whole story.
  public func run() -> Result {
    let before = hash(content)
    var after: [UInt8] = []
    do throws(RunFailure) {
      after = try machine.run { [self] _ in await story() }
    } catch {
      offences.append(error.description)
    }
    return Result(offences: offences, hashBefore: before, hashAfter: hash(after))
  }

  /// The clock of the kernel as narration shows it.
  var clock: String {
    let time = RunReport.timeText(machine.kernel.now)
    return String(repeating: " ", count: max(0, 9 - time.count)) + time
  }

  func tell(_ line: String) { say("[\(clock)] \(line)") }

  func expect(_ condition: Bool, _ what: @autoclosure () -> String) {
    guard !condition else { return }
    offences.append(what())
    tell("THIS DOES NOT HOLD: \(what())")
  }
}
