import Base
import NVHardware

/// A channel: what PCCSR says of it, and the host's state of it while it is not on a PBDMA.
final class Channel {
  let id: UInt32
  // PCCSR.
  var instanceWord: UInt32 = 0
  var isEnabled = false
  var runlist: UInt32 = 0
  /// An engine or the host took a fault on its behalf; not scheduled until acknowledged.
  var isFaulted = false
  /// A doorbell rang, or something else asks the host to look at GP_PUT.
  var isRung = false
  /// On a PBDMA now.
  var isLoaded = false
  /// The group as one of which it was last loaded.
  var group: UInt32?

  // From the instance block, at each load.
  var context: InstanceContext?
  var userd = Place(aperture: .vram, address: 0)
  var gpBase: UInt64 = 0
  /// Ring entries − 1.
  var gpMask: UInt32 = 0
  var acquireWord: UInt32 = 0
  /// May launch physical copies (HCE_CTRL.PRIV_MODE).
  var isPrivileged = false
  /// May send TLB operations (CONFIG.AUTH_LEVEL).
  var isAuthorized = false

  // Decoding.
  var gpGet: UInt32 = 0
  var gpPut: UInt32 = 0
  var fetch = PushBufferFetch()
  /// A method that has to wait, or that the driver has to look at.
  var stalled: Method?
  var reference: UInt32 = 0
  var classes = InlineArray<8, UInt32>(repeating: 0)
  var semaphore = InlineArray<3, UInt32>(repeating: 0)
  var memOp = InlineArray<3, UInt32>(repeating: 0)
  var subdeviceMask: UInt32 = 0xfff
  var storedSubdeviceMask: UInt32 = 0xfff
  var copy = CopyState()
  /// When a semaphore acquire began to wait.
  var acquireStart: UInt64?
  /// The next wait before an acquire is tried again, in nanoseconds.
  var acquireRetry: UInt64 = 0
  var acquireNextTry: UInt64?
  /// An engine wrote a semaphore since the last try.
  var isAcquirePoked = false
  /// Launches that a preemption took off the engine's queue.
  var savedLaunches: [CopyLaunch] = []
  /// A YIELD let others go first and is done when the channel comes back.
  var hasYielded = false
  /// A release that `gpu.fence_late` holds back.
  var releaseAt: UInt64?

  init(id: UInt32) { self.id = id }

  struct Method: BitwiseCopyable {
    var subchannel: UInt32
    var address: UInt32
    var data: UInt32
  }

  /// Where the host stands in the push buffer.
  struct PushBufferFetch: BitwiseCopyable {
    var address: UInt64 = 0
    /// Dwords of the segment that are left.
    var left: UInt32 = 0
    // The method under way.
    var method: UInt32 = 0
    var subchannel: UInt32 = 0
    var count: UInt32 = 0
    /// Bytes that the address grows by after a datum, now and later.
    var increment: UInt32 = 0
    var laterIncrement: UInt32 = 0
  }

  var isBound: Bool { NV_PCCSR.CHANNEL_INST_BIND.get(instanceWord) == 1 }
  var instance: Place? {
    Aperture(target: NV_PCCSR.CHANNEL_INST_TARGET.get(instanceWord)).map {
      Place(aperture: $0, address: UInt64(NV_PCCSR.CHANNEL_INST_PTR.get(instanceWord)) << 12)
    }
  }

  var hasWork: Bool { isRung || fetch.left != 0 || stalled != nil || gpGet != gpPut }
  var isRunnable: Bool { isEnabled && isBound && !isFaulted && hasWork }

  /// Forgets everything that a new binding begins without.
  func resetHostState() {
    context = nil
    gpGet = 0
    gpPut = 0
    fetch = PushBufferFetch()
    stalled = nil
    reference = 0
    classes = InlineArray(repeating: 0)
    copy = CopyState()
    acquireStart = nil
    acquireNextTry = nil
    hasYielded = false
    savedLaunches = []
    releaseAt = nil
    isFaulted = false
    isRung = true
  }
}
