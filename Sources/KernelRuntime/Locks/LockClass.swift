/// A class of sleeping locks, with its place in the one order of all locks.
///
/// A task may take a lock only of a higher rank than all that it holds, unless it merely tries. The
/// order is this file's table; ``LockChecks`` checks it at run time, and so finds an inversion in a
/// run where nothing else goes wrong.
public struct LockClass: Hashable, Sendable {
  public let name: String
  /// Locks are taken in rising rank. Unlike ranks, equal ranks of different classes don't nest.
  public let rank: Int
  /// Several locks of this class may be held at once (in an order of their own, such as by index).
  public let nests: Bool
  /// May be taken in a section that a fence's signalling waits for. Nobody may then hold it while
  /// he waits for a fence or for memory, which is checked.
  public let isAllowedWhileSignalling: Bool

  public init(
    name: String, rank: Int, nests: Bool = false, isAllowedWhileSignalling: Bool = false
  ) {
    self.name = name
    self.rank = rank
    self.nests = nests
    self.isAllowedWhileSignalling = isAllowedWhileSignalling
  }
}

// The table, outermost first. A driver of somebody else's places its own classes between by rank.
extension LockClass {
  /// Opening, closing, suspending a device: outermost.
  public static let deviceState = LockClass(name: "device state", rank: 100)
  /// `nouveau_cli.mutex`: one client's objects.
  public static let client = LockClass(name: "client mutex", rank: 150)
  /// `mm_struct.mmap_lock`.
  public static let mmap = LockClass(name: "mmap_lock", rank: 200, nests: true)
  /// `vm_area_struct.vm_lock`.
  public static let vma = LockClass(name: "vma lock", rank: 210, nests: true)
  /// The page's lock bit; taken one by one in address order, or tried.
  public static let page = LockClass(name: "page lock", rank: 300, nests: true)
  /// `anon_vma.rwsem`.
  public static let anonVMA = LockClass(name: "anon_vma lock", rank: 320, nests: true)
  /// Reservation objects of buffers (`dma_resv`).
  public static let reservation = LockClass(name: "dma_resv lock", rank: 340, nests: true)
  /// `nouveau_svmm.mutex`: the GPU page tables of one process.
  public static let svmm = LockClass(name: "svmm mutex", rank: 400, nests: true)
  /// `nouveau_dmem.mutex`: the list of chunks.
  public static let dmem = LockClass(name: "dmem mutex", rank: 420)
  /// A GPU address space's page tables (`nvkm_vmm.mutex`).
  public static let vmm = LockClass(name: "vmm mutex", rank: 440, nests: true)
  /// A channel's push buffer and ring.
  public static let channel = LockClass(name: "channel mutex", rank: 460)
  /// PRAMIN window and instance memory.
  public static let instanceMemory = LockClass(name: "instmem lock", rank: 480)
}

/// One held lock of a task.
///
/// Plain words, since one is written and compared each time a lock is taken; ``LockChecks`` knows
/// the class behind ``place``.
public struct HeldLock: Hashable, Sendable, BitwiseCopyable {
  /// Distinguishes locks of one class; in order of creation within a kernel.
  public let instance: Int
  /// Held for reading, with other readers.
  public var isShared = false
  /// The class's number within a kernel.
  let place: Int
  let rank: Int
  let nests: Bool
}
