package import Falcon

/// The targets that this module knows.
package enum FuzzTargets {
  /// - Parameter microcode: see ``PushBufferTarget/init(microcode:)``.
  package static func all(microcode: FirmwareContainer? = nil) -> [any FuzzTarget] {
    [
      VBIOSTarget(), ContainerTarget(), PushBufferTarget(microcode: microcode), FalconTarget(),
      AssemblerTarget(), DeviceTextTarget(),
    ]
  }
}
