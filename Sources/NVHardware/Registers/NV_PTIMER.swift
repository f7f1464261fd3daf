public import Base

/// The nanosecond clock of all time stamps, and its alarm.
///
/// SOURCE: open-gpu-doc dev_timer; nouveau nvkm/subdev/timer/{nv04,gk20a}.c.
public enum NV_PTIMER {
  public static let INTR_0: UInt32 = 0x9100
  public static let INTR_0_ALARM = BitField(bit: 0)
  public static let INTR_0_TIMER = BitField(bit: 1)
  public static let INTR_EN_0: UInt32 = 0x9140
  public static let NUMERATOR: UInt32 = 0x9200
  public static let DENOMINATOR: UInt32 = 0x9210
  /// Low half; only bits 31:5 count, so the clock steps by 32 ns.
  public static let TIME_0: UInt32 = 0x9400
  public static let TIME_0_NSEC = BitField(31, 5)
  public static let TIME_1: UInt32 = 0x9410
  public static let TIME_1_NSEC = BitField(28, 0)
  public static let ALARM_0: UInt32 = 0x9420
  public static let ALARM_0_NSEC = BitField(31, 5)
  public static let TIMER_0: UInt32 = 0x9428
  public static let GR_TICK_FREQ: UInt32 = 0x9480
}
