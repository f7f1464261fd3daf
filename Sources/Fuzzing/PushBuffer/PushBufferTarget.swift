import Base
package import Falcon
import KernelRuntime
import NVHardware

/// The host of the emulated GPU: ring entries, headers, methods, launches.
///
/// Each input ends with all its methods executed, with a wait, or with an interrupt that names what
/// is wrong; then a reset makes the device usable again.
package struct PushBufferTarget: FuzzTarget {
  package let name = "pushbuffer"
  package let summary =
    "rings and push buffers on an emulated GPU: entries, headers, methods, copies"
  private let microcode: FirmwareContainer?

  /// - Parameter microcode: for the chip whose copy engines run it; without it inputs that ask for
  ///   that chip run on the other one.
  package init(microcode: FirmwareContainer? = nil) { self.microcode = microcode }

  package func input(_ number: UInt64, seed: UInt64) -> [UInt8] {
    var writer = PushBufferWriter(generator(number, seed: seed))
    var bytes = writer.input().bytes
    if writer.mutator.oneIn(3) { writer.mutator.damage(&bytes) }
    return bytes
  }

  package func feed(_ bytes: [UInt8]) -> FuzzOutcome {
    let input = PushBufferInput(bytes)
    let board: PushBufferBoard
    do throws(KernelError) {
      board = try PushBufferBoard(input, microcode: microcode)
    } catch {
      return .broken("no machine: \(error)")
    }
    _ = board.settle()
    var ending = "done"
    for round in input.rounds {
      board.submit(round)
      let rests = board.settle()
      switch board.state(rests) {
      case .broken(let complaint): return .broken(complaint)
      case .ended(let name): ending = name
      }
      board.acknowledge(replacingMethod: round.replacesMethod)
      _ = board.settle()
    }
    if let complaint = board.resetAndTry() { return .broken(complaint) }
    return .ended(ending)
  }
}
