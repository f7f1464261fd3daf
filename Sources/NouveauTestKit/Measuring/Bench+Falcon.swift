import Base
import Falcon
import KernelRuntime
import Machine

extension Bench {
  /// Instructions a second of the falcon's interpreter, on this thread alone.
  func interpreter() throws(KernelError) -> [Measurement] {
    var rows: [Measurement] = []
    for program in FalconMeasurements.Program.allCases {
      progress("falcon instructions")
      let falcon: FalconMeasurements
      do throws(FalconAssemblyError) {
        falcon = try FalconMeasurements(program)
      } catch {
        throw .EINVAL
      }
      _ = falcon.run(cycles: plan.falconCycles / 10)
      var samples: [Double] = []
      for _ in 0..<plan.bulkSamples {
        var count: UInt64 = 0
        let time = Self.seconds { count = falcon.run(cycles: plan.falconCycles) }
        samples.append(Double(count) / time / 1e6)
      }
      guard falcon.stop == nil else { throw .EIO }
      let name = program == .mixed ? "falcon, mixed code" : "falcon, register code"
      rows.append(
        Measurement(name, unit: "M instr/s", goal: .atLeast(100), samples: samples))
    }
    return rows
  }

  /// The same bytes there and back by fixed-function copy engines and by ones that run microcode:
  /// on the host's clock in both modes, and on the model's own.
  func profiles() throws(KernelError) -> [Measurement] {
    guard FirmwareFolder.projectFolder != nil else {
      return [
        Measurement(
          "copies by microcode", unit: "GB/s", samples: [],
          note: "not measured: no folder Firmware above the command or the current folder")
      ]
    }
    var rows: [Measurement] = []
    for name in GPUProfiles.names {
      for mode in [Kernel.Mode.simulated, .realTime] {
        progress("copies on \(name), \(mode.rawValue)")
        rows += try profile(name, mode)
      }
    }
    return rows
  }

  private func profile(
    _ name: String, _ mode: Kernel.Mode
  ) throws(KernelError) -> [Measurement] {
    let rig = try BulkRig(bytes: plan.profileBytes, mode: mode, profile: name)
    let gigabytes = Double(plan.profileBytes) / 1e9
    _ = try rig.round()
    var there: [Double] = []
    var back: [Double] = []
    var model: [Double] = []
    for _ in 0..<plan.bulkSamples {
      let begin = rig.now
      let (a, b) = try rig.round()
      there.append(gigabytes / a)
      back.append(gigabytes / b)
      model.append(2 * gigabytes / (Double(rig.now - begin) * 1e-9))
    }
    let words = mode == .simulated ? "simulated" : "real time"
    let rows = [
      Measurement("\(name) to device, \(words)", unit: "GB/s", samples: there),
      Measurement("\(name) back, \(words)", unit: "GB/s", samples: back),
    ]
    return mode == .realTime
      ? rows
      : rows + [Measurement("\(name) both ways, model's time", unit: "GB/s", samples: model)]
  }
}
