import Base
import NouveauTestKit

/// Where scenarios run.
enum Targets {
  static func machine(_ request: TargetRequest) throws(KernelError) -> any ScenarioTarget {
    try MachineTarget(request)
  }
}
