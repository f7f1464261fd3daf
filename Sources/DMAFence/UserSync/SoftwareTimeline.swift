public import Base
import KernelRuntime

/// A timeline that user space counts up by hand (`sw_sync`, `struct sync_timeline`).
///
/// Its numbers have 32 bits and wrap; a point is done when the value has reached it, by less than
/// half the range. It holds no fence: whoever made a point keeps it.
public final class SoftwareTimeline {
  private let kernel: Kernel
  public let name: String
  public let context: UInt64
  /// How far it has counted.
  public var value: UInt32 {
    kernel.touch(.timeline(context), writing: false)
    return operations.value
  }
  /// Open points in rising order from the value on; equal numbers share one fence.
  private var points: [Point] = []
  private let operations: Operations
  public private(set) var isClosed = false

  private struct Point {
    let number: UInt32
    weak var fence: Fence?
  }

  /// The fences' side: outlives the timeline as long as a fence needs its name.
  private final class Operations: FenceOperations {
    let driverName = "sw_sync"
    private unowned let kernel: Kernel
    let timelineName: String
    var value: UInt32 = 0
    var isClosed = false
    /// The nearest deadline that somebody gave.
    var deadline: UInt64?

    init(_ kernel: Kernel, _ name: String) {
      self.kernel = kernel
      timelineName = name
    }

    func isSignaled(_ fence: Fence) -> Bool {
      kernel.touch(.timeline(fence.context), writing: false)
      return isClosed || !Fence.isLater(fence.seqno, than: UInt64(value), is64Bit: false)
    }
    func setDeadline(_ fence: Fence, _ time: UInt64) { deadline = min(deadline ?? time, time) }
  }

  public init(_ contexts: FenceContexts, _ name: String) {
    kernel = contexts.kernel
    self.name = name
    context = contexts.allocate()
    operations = Operations(kernel, name)
  }

  /// The nearest deadline given for any of its fences (`SW_SYNC_GET_DEADLINE`).
  public var deadline: UInt64? { operations.deadline }
  /// Open points that somebody still holds.
  public var pendingCount: Int {
    kernel.touch(.timeline(context), writing: false)
    return points.count { $0.fence?.isSignaledFlag == false }
  }

  /// The fence of a point (`SW_SYNC_IOC_CREATE_FENCE`): an open one of that number is shared.
  /// Throws `ENOENT` on a closed timeline.
  public func fence(at number: UInt32) throws(KernelError) -> Fence {
    kernel.touch(.timeline(context))
    guard !isClosed else { throw .ENOENT }
    let value = operations.value
    dropReleased()
    // Distance from the value orders the numbers, across the wrap.
    let distance = number &- value
    let isDone = Int32(bitPattern: distance) <= 0
    let index = points.firstIndex { $0.number &- value >= distance } ?? points.count
    if !isDone, index < points.count, points[index].number == number,
      let open = points[index].fence
    {
      return open
    }
    let fence = Fence(kernel, operations: operations, context: context, seqno: UInt64(number))
    if isDone {
      fence.signal()
    } else {
      points.insert(Point(number: number, fence: fence), at: index)
    }
    return fence
  }

  private func dropReleased() {
    if points.contains(where: { $0.fence == nil }) { points.removeAll { $0.fence == nil } }
  }

  /// Counts up and signals what is reached (`SW_SYNC_IOC_INC`).
  ///
  /// A step above half the range is taken in parts, so that no point is jumped over.
  public func increment(by count: UInt32) {
    var left = count
    while left > UInt32(Int32.max) {
      step(UInt32(Int32.max))
      left -= UInt32(Int32.max)
    }
    step(left)
  }

  private func step(_ count: UInt32) {
    kernel.touch(.timeline(context))
    let value = operations.value &+ count
    operations.value = value
    // Off the list before any callback runs: a callback may drop fences or count on.
    let reached = points.prefix { Int32(bitPattern: $0.number &- value) <= 0 }
    points.removeFirst(reached.count)
    for point in reached { point.fence?.signal() }
  }

  /// Closes the timeline: open fences end with `ENOENT`, signalled ones stay good.
  public func close() {
    kernel.touch(.timeline(context))
    guard !isClosed else { return }
    isClosed = true
    operations.isClosed = true
    let open = points
    points = []
    for case .some(let fence) in open.map(\.fence) where !fence.isSignaledFlag {
      fence.setError(.ENOENT)
      fence.signal()
    }
  }
}
