public import DMAFence

/// How the driver sets itself up: its module parameters.
public struct DriverOptions {
  /// Channels that USERD and the fence words have room for; a power of two from 2 to 128.
  public var channels = 128
  /// Bytes of a channel's push buffer; a power of two. nouveau uses 64 KiB.
  public var pushBytes = 0x1_0000
  /// Entries of a channel's GPFIFO; a power of two. nouveau uses 1024.
  public var ringEntries = 1024
  /// Push buffers in VRAM instead of system memory (`nouveau.vram_pushbuf`).
  public var pushInVRAM = false
  /// How a wait for a fence learns of its end.
  public var fenceWait = FenceWaitMode.interrupt
  /// The machine's fence contexts, where several devices share one machine; nil makes its own.
  public var fenceContexts: FenceContexts?
  /// What stands before the names of this GPU's tasks and timelines where a machine has several;
  /// nothing for the first.
  public var label = ""
  /// The drivers of the machine's GPUs; nil in a machine with one.
  public var peers: PeerGroup?

  public init() {}
}

/// How a wait for a fence learns of its end.
public enum FenceWaitMode: Sendable, Hashable {
  /// By the non-stall interrupt, with a re-check that finds lost and early interrupts.
  case interrupt
  /// By looking again after 1 µs, 2 µs, … 1 ms (`nouveau_fence_wait_legacy`).
  case polling
}
