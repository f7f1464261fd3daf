import Base
import DMAFence
import KernelRuntime
import Testing

/// The checks of IGT's dmabuf_sync_file.
@Suite("dmabuf_sync_file") struct BufferFenceTests {
  private func attach(
    _ bench: Bench, _ object: Reservation, _ access: BufferAccess
  ) async throws(KernelError) -> Fence {
    let fence = bench.fence()
    try await object.importSyncFile(SyncFile(bench.contexts, fence), access)
    return fence
  }

  @Test("dmabuf_sync_file: export-basic") func exportBasic() throws {
    try flow { bench in
      let object = Reservation(bench.contexts)
      for access in [BufferAccess.read, .write, .readWrite] {
        try #expect(object.exportSyncFile(access).fence.isSignaled)
      }
      #expect(throws: KernelError.EINVAL) { try object.exportSyncFile([]) }
      #expect(throws: KernelError.EINVAL) {
        try object.exportSyncFile(BufferAccess(rawValue: 4))
      }
    }
  }

  @Test("dmabuf_sync_file: export-before-signal") func exportBeforeSignal() throws {
    try flow { bench in
      let object = Reservation(bench.contexts)
      let fence = try await attach(bench, object, .write)
      let file = try object.exportSyncFile(.read)
      #expect(!file.fence.isSignaled)
      fence.signal()
      #expect(file.fence.isSignaled)
    }
  }

  @Test("dmabuf_sync_file: export-multiwait") func exportMultiWait() throws {
    try flow { bench in
      let object = Reservation(bench.contexts)
      let fences = [
        try await attach(bench, object, .read), try await attach(bench, object, .read),
        try await attach(bench, object, .write),
      ]
      let file = try object.exportSyncFile(.write)
      #expect(file.count(status: 0) == 3)
      for (index, fence) in fences.enumerated() {
        #expect(!file.fence.isSignaled, "after \(index)")
        fence.signal()
      }
      #expect(file.fence.isSignaled)
    }
  }

  @Test("dmabuf_sync_file: export-wait-after-attach") func exportWaitAfterAttach() throws {
    try flow { bench in
      let object = Reservation(bench.contexts)
      let early = try object.exportSyncFile(.read)
      let fence = try await attach(bench, object, .write)
      let late = try object.exportSyncFile(.read)
      // What was exported before doesn't wait for what came later.
      #expect(await early.wait(timeout: 0).isSignaled)
      #expect(await late.wait(timeout: 10) == .timedOut)
      fence.signal()
      #expect(await late.wait(timeout: 10).isSignaled)
    }
  }

  @Test("dmabuf_sync_file: import-basic") func importBasic() throws {
    try flow { bench in
      let object = Reservation(bench.contexts)
      let file = SyncFile(bench.contexts, bench.fence())
      try await object.importSyncFile(file, .write)
      #expect(!object.isSignaled(.write))
      await #expect(throws: KernelError.EINVAL) { try await object.importSyncFile(file, []) }
    }
  }

  @Test("dmabuf_sync_file: import-multiple-read-only") func importReadOnly() throws {
    try flow { bench in
      let object = Reservation(bench.contexts)
      var fences: [Fence] = []
      for _ in 0..<4 { fences.append(try await attach(bench, object, .read)) }
      try #expect(object.exportSyncFile(.read).fence.isSignaled)
      let all = try object.exportSyncFile(.write)
      #expect(all.count(status: 0) == 4)
      for fence in fences {
        #expect(!all.fence.isSignaled)
        fence.signal()
      }
      #expect(all.fence.isSignaled)
    }
  }

  @Test("dmabuf_sync_file: import-multiple-read-write") func importReadWrite() throws {
    try flow { bench in
      let object = Reservation(bench.contexts)
      var fences: [Fence] = []
      var files: [SyncFile] = []
      for index in 0..<4 {
        fences.append(try await attach(bench, object, index % 2 == 0 ? .readWrite : .read))
        files.append(try object.exportSyncFile(.write))
      }
      for (index, fence) in fences.enumerated() {
        for (later, file) in files.enumerated() where later >= index {
          #expect(!file.fence.isSignaled, "file \(later) before fence \(index)")
        }
        fence.signal()
        #expect(files[index].fence.isSignaled)
      }
    }
  }
}

/// The checks of IGT's vgem that concern fences.
@Suite("vgem") struct BoundedFenceTests {
  @Test("vgem: basic-fence-read") func attachedBeforeExport() throws {
    try flow { bench in
      let fences = BoundedFences(bench.contexts)
      let object = Reservation(bench.contexts)
      let handle = try await fences.attach(to: object, .write)
      let file = try object.exportSyncFile(.read)
      #expect(!file.fence.isSignaled)
      try fences.signal(handle)
      #expect(file.fence.isSignaled)
    }
  }

  @Test("vgem: fence attached after export") func attachedAfterExport() throws {
    try flow { bench in
      let fences = BoundedFences(bench.contexts)
      let object = Reservation(bench.contexts)
      #expect(object.isSignaled(.read))
      let handle = try await fences.attach(to: object, .write)
      #expect(!object.isSignaled(.read))
      try fences.signal(handle)
      #expect(object.isSignaled(.read))
    }
  }

  @Test("vgem: bad-fence") func badFence() throws {
    try flow { bench in
      let fences = BoundedFences(bench.contexts)
      let object = Reservation(bench.contexts)
      await #expect(throws: KernelError.EINVAL) { try await fences.attach(to: object, []) }
      await #expect(throws: KernelError.EINVAL) {
        try await fences.attach(to: object, BufferAccess(rawValue: 8))
      }
      #expect(throws: KernelError.ENOENT) { try fences.signal(1) }
      let handle = try await fences.attach(to: object, .read)
      #expect(throws: KernelError.EINVAL) { try fences.signal(handle, flags: 1) }
      try fences.signal(handle)
      #expect(throws: KernelError.ENOENT) { try fences.signal(handle) }
    }
  }

  @Test("vgem: busy-fence") func busyFence() throws {
    try flow { bench in
      let fences = BoundedFences(bench.contexts)
      let object = Reservation(bench.contexts)
      let first = try await fences.attach(to: object, .write)
      await #expect(throws: KernelError.EBUSY) { try await fences.attach(to: object, .write) }
      await #expect(throws: KernelError.EBUSY) { try await fences.attach(to: object, .read) }
      try fences.signal(first)
      _ = try await fences.attach(to: object, .read)
      // Readers share; a writer waits for them.
      _ = try await fences.attach(to: object, .read)
      await #expect(throws: KernelError.EBUSY) { try await fences.attach(to: object, .write) }
    }
  }

  @Test("vgem_slow: nohang") func nohang() throws {
    try flow { bench in
      let fences = BoundedFences(bench.contexts)
      let object = Reservation(bench.contexts)
      let handle = try await fences.attach(to: object, .write)
      let fence = try object.exportSyncFile(.read).fence
      #expect(await fence.wait().isSignaled)
      #expect(bench.kernel.now == BoundedFences.limit)
      #expect(fence.status == .failed(.ETIMEDOUT))
      #expect(throws: KernelError.ETIMEDOUT) { try fences.signal(handle) }
    }
  }
}
