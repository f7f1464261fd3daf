import Base
package import LinuxMM

/// The processes that use one device.
package final class SVMTable {
  /// In order of their binding.
  package private(set) var all: [SVMM] = []

  package init() {}

  /// The process's mirror, if it uses the device.
  package func svmm(of space: AddressSpace) -> SVMM? { all.first { $0.space === space } }

  /// The process whose GPU context has this instance block.
  func svmm(instance: VRAMAddress) -> SVMM? { all.first { $0.instanceAddress == instance } }

  /// Those that keep the device open.
  var staying: [SVMM] { all.filter { !$0.isLeaving } }

  func add(_ svmm: SVMM) { all.append(svmm) }
  func remove(_ svmm: SVMM) { all.removeAll { $0 === svmm } }
}
