import Base
import DMAFence
import KernelRuntime
import Testing

/// One client of a device: handles, descriptors and what the checks do with them.
final class Client {
  let bench: Bench
  let files = SyncDescriptors()
  let table: SyncObjectTable

  init(_ bench: Bench) {
    self.bench = bench
    table = SyncObjectTable(bench.contexts, files)
  }

  /// A handle whose object holds the fence, with a point, or in binary use.
  func handle(_ fence: Fence? = nil, at point: UInt64? = nil) throws(KernelError) -> UInt32 {
    let handle = try table.create()
    if let fence { try attach(fence, to: handle, at: point) }
    return handle
  }

  func attach(_ fence: Fence, to handle: UInt32, at point: UInt64? = nil) throws(KernelError) {
    let object = try table.object(handle)
    if let point { object.addPoint(fence, at: point) } else { object.replace(with: fence) }
  }

  /// Waits and gives the error, or nil for success.
  func outcome(
    _ handles: [UInt32], points: [UInt64]? = nil, flags: UInt32 = 0, timeout: UInt64 = 0
  ) async -> KernelError? {
    do throws(KernelError) {
      _ = try await table.wait(handles, points: points, flags: flags, timeout: timeout)
      return nil
    } catch {
      return error
    }
  }
}

func client(_ body: @escaping (Client) async throws -> Void) throws {
  try flow { try await body(Client($0)) }
}

@Suite("syncobj_timeline arguments") struct SyncObjectArgumentTests {
  private let illegal: UInt32 = 0x1234

  @Test("syncobj_timeline: invalid-wait-bad-flags") func waitBadFlags() throws {
    try client { c in
      let handle = try c.handle(c.bench.contexts.stub, at: 1)
      #expect(await c.outcome([handle], points: [1], flags: 0xdead_beef & ~0xf) == .EINVAL)
      #expect(await c.outcome([handle], points: [1], flags: 1 << 4) == .EINVAL)
    }
  }

  @Test("syncobj_timeline: invalid-wait-illegal-handle") func waitIllegalHandle() throws {
    try client { c in #expect(await c.outcome([illegal], points: [1]) == .ENOENT) }
  }

  @Test("syncobj_timeline: invalid-wait-zero-handles") func waitZeroHandles() throws {
    try client { c in #expect(await c.outcome([], points: []) == nil) }
  }

  @Test("syncobj_timeline: invalid-query-zero-handles") func queryZeroHandles() throws {
    try client { c in #expect(throws: KernelError.EINVAL) { try c.table.query([]) } }
  }

  @Test("syncobj_timeline: invalid-query-illegal-handle") func queryIllegalHandle() throws {
    try client { c in #expect(throws: KernelError.ENOENT) { try c.table.query([illegal]) } }
  }

  @Test("syncobj_timeline: invalid-query-one-illegal-handle") func queryOneIllegal() throws {
    try client { c in
      let handles = [try c.handle(), illegal, try c.handle()]
      #expect(throws: KernelError.ENOENT) { try c.table.query(handles) }
    }
  }

  @Test("syncobj_timeline: invalid-query-bad-pad") func queryBadPad() throws {
    try client { c in
      let handle = try c.handle()
      #expect(throws: KernelError.EINVAL) { try c.table.query([handle], flags: 0xdead_beef) }
    }
  }

  @Test("syncobj_timeline: invalid-signal-zero-handles") func signalZeroHandles() throws {
    try client { c in
      #expect(throws: KernelError.EINVAL) { try c.table.signal([], points: []) }
    }
  }

  @Test("syncobj_timeline: invalid-signal-illegal-handle") func signalIllegalHandle() throws {
    try client { c in
      #expect(throws: KernelError.ENOENT) { try c.table.signal([illegal], points: [1]) }
    }
  }

  @Test("syncobj_timeline: invalid-signal-illegal-point") func signalIllegalPoint() throws {
    try client { c in
      let handle = try c.handle()
      // Points that can't be read from the caller.
      #expect(throws: KernelError.EFAULT) { try c.table.signal([handle], points: []) }
    }
  }

  @Test("syncobj_timeline: invalid-signal-one-illegal-handle") func signalOneIllegal() throws {
    try client { c in
      let good = try c.handle()
      #expect(throws: KernelError.ENOENT) { try c.table.signal([good, illegal], points: [1, 1]) }
      // Nothing was done before all were looked up.
      try #expect(c.table.query([good]) == [0])
    }
  }

  @Test("syncobj_timeline: invalid-signal-bad-pad") func signalBadPad() throws {
    try client { c in
      let handle = try c.handle()
      #expect(throws: KernelError.EINVAL) {
        try c.table.signal([handle], points: [1], flags: 0xdead_beef)
      }
    }
  }

  private func transferError(
    _ c: Client, _ source: UInt32, _ point: UInt64, _ target: UInt32, pad: UInt32 = 0
  ) async -> KernelError? {
    do throws(KernelError) {
      try await c.table.transfer(from: source, at: point, to: target, at: 1, pad: pad)
      return nil
    } catch {
      return error
    }
  }

  @Test("syncobj_timeline: invalid-transfer-illegal-handle") func transferIllegalHandle() throws {
    try client { c in
      let handle = try c.handle()
      #expect(await transferError(c, illegal, 0, handle) == .ENOENT)
      #expect(await transferError(c, handle, 0, illegal) == .ENOENT)
    }
  }

  @Test("syncobj_timeline: invalid-transfer-bad-pad") func transferBadPad() throws {
    try client { c in
      let handle = try c.handle(c.bench.contexts.stub)
      #expect(await transferError(c, handle, 0, handle, pad: 0xdead) == .EINVAL)
    }
  }

  @Test("syncobj_timeline: invalid-transfer-non-existent-point") func transferAbsent() throws {
    try client { c in
      let source = try c.handle(c.bench.fence(), at: 5)
      let target = try c.handle()
      #expect(await transferError(c, source, 7, target) == .EINVAL)
    }
  }
}

@Suite("syncobj_basic") struct SyncObjectBasicTests {
  private let illegal: UInt32 = 0x1234

  @Test("syncobj_basic: bad-destroy") func badDestroy() throws {
    try client { c in #expect(throws: KernelError.EINVAL) { try c.table.destroy(illegal) } }
  }
  @Test("syncobj_basic: bad-create-flags") func badCreateFlags() throws {
    try client { c in
      #expect(throws: KernelError.EINVAL) { try c.table.create(flags: 0xdead_beef) }
    }
  }
  @Test("syncobj_basic: bad-handle-to-fd") func badHandleToFD() throws {
    try client { c in
      #expect(throws: KernelError.EINVAL) { try c.table.descriptor(of: illegal) }
    }
  }
  @Test("syncobj_basic: bad-fd-to-handle") func badFDToHandle() throws {
    try client { c in #expect(throws: KernelError.EINVAL) { try c.table.handle(of: -1) } }
  }
  @Test("syncobj_basic: bad-flags-handle-to-fd") func badFlagsHandleToFD() throws {
    try client { c in
      let handle = try c.handle()
      #expect(throws: KernelError.EINVAL) { try c.table.descriptor(of: handle, flags: 0xdead) }
    }
  }
  @Test("syncobj_basic: bad-flags-fd-to-handle") func badFlagsFDToHandle() throws {
    try client { c in
      let file = try c.table.descriptor(of: c.handle())
      #expect(throws: KernelError.EINVAL) { try c.table.handle(of: file, flags: 0xdead) }
    }
  }
  @Test("syncobj_basic: bad-pad-handle-to-fd") func badPadHandleToFD() throws {
    try client { c in
      let handle = try c.handle()
      #expect(throws: KernelError.EINVAL) { try c.table.descriptor(of: handle, pad: 1) }
    }
  }
  @Test("syncobj_basic: bad-pad-fd-to-handle") func badPadFDToHandle() throws {
    try client { c in
      let file = try c.table.descriptor(of: c.handle())
      #expect(throws: KernelError.EINVAL) { try c.table.handle(of: file, pad: 1) }
    }
  }
  @Test("syncobj_basic: illegal-fd-to-handle") func illegalFDToHandle() throws {
    try client { c in
      let null = c.files.open(.other("/dev/null"))
      #expect(throws: KernelError.EINVAL) { try c.table.handle(of: null) }
    }
  }
  @Test("syncobj_basic: bad-destroy-pad") func badDestroyPad() throws {
    try client { c in
      let handle = try c.handle()
      #expect(throws: KernelError.EINVAL) { try c.table.destroy(handle, pad: 1) }
    }
  }
  @Test("syncobj_basic: create-signaled") func createSignaled() throws {
    try client { c in
      let handle = try c.table.create(flags: SyncObjectTable.createSignaled)
      #expect(await c.outcome([handle]) == nil)
    }
  }
  @Test("syncobj_basic: test-valid-cycle") func validCycle() throws {
    try client { c in
      let first = try c.table.create()
      let file = try c.table.descriptor(of: first)
      let second = try c.table.handle(of: file)
      #expect(first != second)
      // Both handles lead to one object.
      try c.table.signal([first])
      #expect(await c.outcome([second]) == nil)
      try c.table.destroy(first)
      try c.files.close(file)
      #expect(await c.outcome([second]) == nil)
      try c.table.destroy(second)
      #expect(await c.outcome([second]) == .ENOENT)
    }
  }
}
