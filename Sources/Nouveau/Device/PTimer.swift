import NVHardware

/// The GPU's nanosecond clock.
package struct PTimer {
  let registers: RegisterAccess

  /// The time in nanoseconds; the halves are read until the high one is the same twice.
  ///
  /// Kernel: nv04_timer_read (nvkm/subdev/timer/nv04.c)
  package func read() -> UInt64 {
    var high = registers.read(NV_PTIMER.TIME_1)
    while true {
      let low = registers.read(NV_PTIMER.TIME_0)
      let again = registers.read(NV_PTIMER.TIME_1)
      if again == high { return UInt64(high) << 32 | UInt64(low) }
      high = again
    }
  }

  /// Masks the alarm, which nothing here uses, and acknowledges what firmware left.
  ///
  /// Kernel: nv04_timer_fini, gk20a_timer (nvkm/subdev/timer)
  func initialize() {
    registers.write(NV_PTIMER.INTR_EN_0, 0)
    registers.write(NV_PTIMER.INTR_0, .max)
  }
}
