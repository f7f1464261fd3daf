public import Base

/// The host scheduler: runlists, preemption, interrupts, fault reports.
///
/// SOURCE: open-gpu-doc gv100 dev_fifo; nouveau nvkm/engine/fifo/{gf100,gk104,gm107,gp100}.c and
/// nvkm/subdev/fault/gp100.c for what Pascal keeps of its predecessors.
public enum NV_PFIFO {
  public static let CFG0: UInt32 = 0x2004
  public static let CFG0_NUM_PBDMA = BitField(7, 0)
  public static let CFG0_PBDMA_FAULT_ID = BitField(23, 16)
  /// NUM_CHANNELS.
  public static let CFG1: UInt32 = 0x2008
  /// Host class id.
  public static let CFG2: UInt32 = 0x200c

  public static let INTR_0: UInt32 = 0x2100
  public static let INTR_EN_0: UInt32 = 0x2140
  public static let INTR_0_BIND_ERROR = BitField(bit: 0)
  public static let INTR_0_SCHED_ERROR = BitField(bit: 8)
  public static let INTR_0_CHSW_ERROR = BitField(bit: 16)
  public static let INTR_0_FB_FLUSH_TIMEOUT = BitField(bit: 23)
  public static let INTR_0_LB_ERROR = BitField(bit: 24)
  public static let INTR_0_DROPPED_MMU_FAULT = BitField(bit: 27)
  public static let INTR_0_MMU_FAULT = BitField(bit: 28)
  public static let INTR_0_PBDMA_INTR = BitField(bit: 29)
  public static let INTR_0_RUNLIST_EVENT = BitField(bit: 30)
  /// NON_STALL_INTERRUPT reached the front of a channel.
  public static let INTR_0_CHANNEL_INTR = BitField(bit: 31)
  public static let INTR_EN_1: UInt32 = 0x2528
  public static let INTR_STALL: UInt32 = 0x2530

  public static let CONFIG: UInt32 = 0x2200
  public static let ACQ_PRETEST: UInt32 = 0x2250
  /// Where USERD lies in BAR1 (Fermi to Pascal).
  public static let BAR1_BASE: UInt32 = 0x2254
  /// BAR1 virtual address >> 12.
  public static let BAR1_BASE_PTR = BitField(27, 0)
  public static let BAR1_BASE_VALID = BitField(bit: 28)
  public static let USERD_WRITEBACK: UInt32 = 0x225c

  public static let RUNLIST_BASE: UInt32 = 0x2270
  public static let RUNLIST_BASE_PTR = BitField(27, 0)
  public static let RUNLIST_BASE_TARGET = BitField(29, 28)
  /// Writing it submits the runlist.
  public static let RUNLIST: UInt32 = 0x2274
  public static let RUNLIST_LENGTH = BitField(15, 0)
  public static let RUNLIST_ID = BitField(23, 20)
  public static func ENG_RUNLIST_BASE(_ runlist: UInt32) -> UInt32 { 0x2280 + 8 * runlist }
  public static func ENG_RUNLIST(_ runlist: UInt32) -> UInt32 { 0x2284 + 8 * runlist }
  public static let ENG_RUNLIST_LENGTH = BitField(15, 0)
  public static let ENG_RUNLIST_PENDING = BitField(bit: 20)

  /// The runlists that a PBDMA serves, one bit each.
  public static func PBDMA_MAP(_ pbdma: UInt32) -> UInt32 { 0x2390 + 4 * pbdma }
  public static let BIND_ERROR: UInt32 = 0x252c
  public static let BIND_ERROR_NOT_UNBOUND: UInt32 = 1
  public static let BIND_ERROR_UNBIND_WHILE_RUNNING: UInt32 = 3
  public static let BIND_ERROR_INVALID_CTX_TGT: UInt32 = 6
  public static let SCHED_ERROR: UInt32 = 0x254c
  public static let SCHED_ERROR_CODE = BitField(7, 0)
  public static let SCHED_ERROR_CTXSW_TIMEOUT: UInt32 = 0x0a
  public static let SCHED_ERROR_BAD_TSG: UInt32 = 0x20
  public static let CHSW_ERROR: UInt32 = 0x256c
  public static let LB_ERROR: UInt32 = 0x258c

  /// One bit a fault id with a report in ``INTR_MMU_FAULT_INST(_:)``; write 1 to clear.
  public static let INTR_MMU_FAULT_ID: UInt32 = 0x259c
  /// One bit a PBDMA with a pending interrupt.
  public static let INTR_PBDMA_ID: UInt32 = 0x25a0
  /// Instance block >> 12.
  public static func INTR_MMU_FAULT_INST(_ unit: UInt32) -> UInt32 { 0x2800 + 16 * unit }
  public static func INTR_MMU_FAULT_LO(_ unit: UInt32) -> UInt32 { 0x2804 + 16 * unit }
  public static func INTR_MMU_FAULT_HI(_ unit: UInt32) -> UInt32 { 0x2808 + 16 * unit }
  public static func INTR_MMU_FAULT_INFO(_ unit: UInt32) -> UInt32 { 0x280c + 16 * unit }
  public static let INTR_MMU_FAULT_INST_PTR = BitField(27, 0)
  public static let INTR_MMU_FAULT_INFO_TYPE = BitField(4, 0)
  public static let INTR_MMU_FAULT_INFO_CLIENT = BitField(14, 8)
  public static let INTR_MMU_FAULT_INFO_ACCESS = BitField(18, 16)
  public static let INTR_MMU_FAULT_INFO_CLIENT_TYPE_HUB = BitField(bit: 20)
  public static let INTR_MMU_FAULT_INFO_GPC_ID = BitField(28, 24)

  /// Writing a runlist's bit lets it be scheduled again after a fault (Pascal and older).
  public static let ERROR_SCHED_DISABLE: UInt32 = 0x262c
  /// One bit a runlist: 1 stops scheduling.
  public static let SCHED_DISABLE: UInt32 = 0x2630
  public static let PREEMPT: UInt32 = 0x2634
  public static let PREEMPT_ID = BitField(11, 0)
  public static let PREEMPT_PENDING = BitField(bit: 20)
  public static let PREEMPT_TYPE = BitField(25, 24)
  public static let PREEMPT_TYPE_CHANNEL: UInt32 = 0
  public static let PREEMPT_TYPE_TSG: UInt32 = 1

  public static func ENGINE_STATUS(_ engine: UInt32) -> UInt32 { 0x2640 + 8 * engine }
  public static func PBDMA_STATUS(_ pbdma: UInt32) -> UInt32 { 0x3080 + 4 * pbdma }
  // ENGINE_STATUS and PBDMA_STATUS share this layout.
  public static let STATUS_ID = BitField(11, 0)
  public static let STATUS_ID_TYPE_TSG = BitField(bit: 12)
  /// 0 invalid, 1 valid, 5 load, 6 save, 7 switch.
  public static let STATUS_CTX_STATUS = BitField(15, 13)
  public static let STATUS_NEXT_ID = BitField(27, 16)
  public static let STATUS_FAULTED = BitField(bit: 30)
  public static let STATUS_BUSY = BitField(bit: 31)

  /// One bit a runlist whose submission is done; write 1 to clear.
  public static let INTR_RUNLIST: UInt32 = 0x2a00
  public static let INTR_RUNLIST_EN: UInt32 = 0x2a04
  public static let ENG_TIMEOUT: UInt32 = 0x2a0c
  /// µs.
  public static let ENG_TIMEOUT_PERIOD = BitField(30, 0)
  public static let ENG_TIMEOUT_DETECTION = BitField(bit: 31)
  /// Makes the MMU report a fault for an engine (Pascal and older).
  public static func TRIGGER_MMU_FAULT(_ engine: UInt32) -> UInt32 { 0x2a30 + 4 * engine }
  public static let TRIGGER_MMU_FAULT_ID = BitField(7, 0)
  public static let TRIGGER_MMU_FAULT_ENABLE = BitField(bit: 8)

  // GP100's replayable fault buffer; its address is one of BAR2's address space.
  public static let REPLAYABLE_FAULT_BUFFER_LO: UInt32 = 0x2a70
  public static let REPLAYABLE_FAULT_BUFFER_LO_ENABLE = BitField(bit: 0)
  public static let REPLAYABLE_FAULT_BUFFER_LO_BASE = BitField(31, 12)
  public static let REPLAYABLE_FAULT_BUFFER_HI: UInt32 = 0x2a74
  /// Entries, read only.
  public static let REPLAYABLE_FAULT_BUFFER_SIZE: UInt32 = 0x2a78
  public static let REPLAYABLE_FAULT_BUFFER_GET: UInt32 = 0x2a7c
  public static let REPLAYABLE_FAULT_BUFFER_PUT: UInt32 = 0x2a80
}

/// Channel RAM: eight bytes a channel id.
///
/// SOURCE: open-gpu-doc gv100 dev_fifo; nouveau nvkm/engine/fifo/gk104.c.
public enum NV_PCCSR {
  public static let base: UInt32 = 0x80_0000
  public static func CHANNEL_INST(_ chid: UInt32) -> UInt32 { base + 8 * chid }
  /// Instance block >> 12.
  public static let CHANNEL_INST_PTR = BitField(27, 0)
  public static let CHANNEL_INST_TARGET = BitField(29, 28)
  public static let CHANNEL_INST_BIND = BitField(bit: 31)

  public static func CHANNEL(_ chid: UInt32) -> UInt32 { base + 4 + 8 * chid }
  /// Read only; ``CHANNEL_ENABLE_SET`` and ``CHANNEL_ENABLE_CLR`` change it.
  public static let CHANNEL_ENABLE = BitField(bit: 0)
  public static let CHANNEL_NEXT = BitField(bit: 1)
  public static let CHANNEL_FORCE_CTX_RELOAD = BitField(bit: 8)
  public static let CHANNEL_ENABLE_SET = BitField(bit: 10)
  public static let CHANNEL_ENABLE_CLR = BitField(bit: 11)
  /// Kepler to Pascal: the runlist the channel belongs to.
  public static let CHANNEL_RUNLIST = BitField(19, 16)
  public static let CHANNEL_PBDMA_FAULTED = BitField(bit: 22)
  public static let CHANNEL_ENG_FAULTED = BitField(bit: 23)
  /// See ``CHANNEL_STATUS_IDLE`` and its neighbours.
  public static let CHANNEL_STATUS = BitField(27, 24)
  public static let CHANNEL_STATUS_IDLE: UInt32 = 0
  public static let CHANNEL_STATUS_PENDING: UInt32 = 1
  public static let CHANNEL_STATUS_PENDING_ACQUIRE: UInt32 = 3
  public static let CHANNEL_STATUS_ON_PBDMA: UInt32 = 5
  public static let CHANNEL_STATUS_ON_PBDMA_AND_ENG: UInt32 = 6
  public static let CHANNEL_STATUS_ON_ENG: UInt32 = 7
  public static let CHANNEL_BUSY = BitField(bit: 28)
}
