import Base
import DMAFence
import DeviceSeam
import EmulatedGPU
import KernelRuntime
import LinuxMM
import NVHardware
import Testing

@testable import Nouveau

/// The driver against hardware that rejects what hardware rejects.
@Suite struct EmulatedHardwareTests {
  @Test func bringUp_usesNothingThatTheChipLacks() throws {
    let board = try Board()
    try board.withDevice { device throws(KernelError) in
      #expect(device.vramBytes == 64 << 20)
      try await NouveauFence.emit(on: device.copyChannel).wait()
      #expect(device.logLines == [])
    }
  }

  @Test func copiesAndClears_moveTheRightBytes() throws {
    let board = try Board()
    try board.withDevice { device throws(KernelError) in
      var generator = SplitMix64(seed: 1)
      for offset in stride(from: 0, to: 5 * 4096, by: 8) {
        board.gpu.vram.store(generator.next(), at: 0x100_0000 + offset)
      }
      try await device.copy(0x100_0000, 0x200_0000, pages: 5).wait()
      #expect(
        board.gpu.vram.bytes(at: 0x200_0000, count: 5 * 4096)
          == board.gpu.vram.bytes(at: 0x100_0000, count: 5 * 4096))
      let methods = device.copyMethods
      let pfn = try device.mm.allocatePage()
      let host = try board.gpu.dma.map(pfn, .bidirectional)
      let (_, fence) = try await device.copyChannel.withFence(
        dwords: methods.clearDwords + methods.copyDwords
      ) { writer in
        methods.clear(&writer, to: .vram(VRAMAddress(0x200_1000)), bytes: 4096)
        methods.copyPages(
          &writer, from: .vram(VRAMAddress(0x200_2000)), to: .host(host), pages: 1)
      }
      try await fence.wait()
      #expect(board.gpu.vram.bytes(at: 0x200_1000, count: 4096).allSatisfy { $0 == 0 })
      #expect(
        device.mm.ram.bytes(at: pfn.index * 4096, count: 4096)
          == board.gpu.vram.bytes(at: 0x100_2000, count: 4096))
      board.gpu.dma.unmap(host, .bidirectional)
      device.mm.put(pfn)
    }
  }

  @Test func virtualCopies_goThroughTheChannelsTables() throws {
    let board = try Board()
    try board.withDevice { device throws(KernelError) in
      let space = device.kernelSpace
      let from = GPUVirtualAddress(0x40_0000_0000)
      let to = GPUVirtualAddress(0x50_0000_1000)
      try await space.map(.vram(VRAMAddress(0x100_0000)), at: from, bytes: 0x30_0000)
      try await space.map(.vram(VRAMAddress(0x200_0000)), at: to, bytes: 0x30_0000)
      board.gpu.vram.fill(0x77, at: 0x12f_f000, length: 4096)
      let methods = device.copyMethods
      let (_, fence) = try await device.copyChannel.withFence(dwords: methods.copyDwords) {
        methods.copyPages(
          &$0, from: .virtual(from), to: .virtual(to), pages: 0x300)
      }
      try await fence.wait()
      #expect(board.gpu.vram.bytes(at: 0x22f_f000, count: 4096).allSatisfy { $0 == 0x77 })
      await space.unmap(from, bytes: 0x30_0000)
      await space.unmap(to, bytes: 0x30_0000)
    }
  }

  /// N07, and what an unprivileged channel's fence must say.
  @Test func aPhysicalCopy_onAnUnprivilegedChannel_fails() throws {
    let board = try Board()
    try board.withDevice { device throws(KernelError) in
      let channel = try await device.makeChannel("user", space: device.kernelSpace)
      board.gpu.vram.fill(0x11, at: 0x100_0000, length: 4096)
      let methods = device.copyMethods
      let (_, fence) = try await channel.withFence(dwords: methods.copyDwords) {
        methods.copyPages(
          &$0, from: .vram(VRAMAddress(0x100_0000)), to: .vram(VRAMAddress(0x200_0000)), pages: 1)
      }
      let error = await KernelError.of { () throws(KernelError) in try await fence.wait() }
      #expect(error == .EIO)
      #expect(channel.isKilled && !device.copyChannel.isKilled)
      #expect(board.gpu.vram.load(UInt8.self, at: 0x200_0000) == 0)
      try await NouveauFence.emit(on: device.copyChannel).wait()
      await channel.destroy()
    }
  }

  @Test func anUnmappedAddress_faultsAndKills_othersGoOn() throws {
    let board = try Board()
    try board.withDevice { device throws(KernelError) in
      let channel = try await device.makeChannel("user", space: device.kernelSpace)
      let methods = device.copyMethods
      let (_, fence) = try await channel.withFence(dwords: methods.copyDwords) {
        methods.copyPages(
          &$0, from: .virtual(GPUVirtualAddress(0x77_0000_0000)),
          to: .virtual(GPUVirtualAddress(0x78_0000_0000)), pages: 1)
      }
      let error = await KernelError.of { () throws(KernelError) in try await fence.wait() }
      #expect(error == .EIO)
      #expect(device.logLines.first?.hasPrefix("fifo: fault READ at 0x7700000000") == true)
      await channel.runlist.flushRecovery()
      try await NouveauFence.emit(on: device.copyChannel).wait()
      try await channel.rebuild()
      try await NouveauFence.emit(on: channel).wait()
      await channel.destroy()
    }
  }

  @Test(arguments: [
    InjectionPoint.copyError, .copyFault, .pbdmaError, .engineHang, .fenceStall, .fenceWrongValue,
  ])
  func aDeviceFault_failsItsFence_andARebuildRecovers(_ point: InjectionPoint) throws {
    let board = try Board()
    try board.withDevice { device throws(KernelError) in
      board.gpu.vram.fill(0x11, at: 0x100_0000, length: 4096)
      let channel = device.copyChannel
      for round in 0..<3 {
        board.kernel.failures.arm(point, .nth(1))
        let fence = try await device.copy(0x100_0000, 0x200_0000)
        let error = await KernelError.of { () throws(KernelError) in try await fence.wait() }
        board.kernel.failures.disarm()
        #expect(error == .EIO || error == .ETIMEDOUT, "\(point.name) round \(round)")
        try await channel.rebuild(error ?? .EIO)
        try await device.copy(0x100_0000, 0x300_0000).wait()
        #expect(board.gpu.vram.load(UInt8.self, at: 0x300_0fff) == 0x11)
        board.gpu.vram.fill(0, at: 0x300_0000, length: 4096)
      }
    }
  }

  @Test(arguments: [InjectionPoint.interruptLost, .interruptEarly, .interruptStorm])
  func aDisturbedInterrupt_costsTimeOnly(_ point: InjectionPoint) throws {
    let board = try Board()
    try board.withDevice { device throws(KernelError) in
      board.kernel.failures.arm(point, .always)
      for _ in 0..<5 {
        let start = device.kernel.now
        let fence = try await device.copy(0x100_0000, 0x200_0000)
        try await fence.wait()
        #expect(device.kernel.now - start < 3_000_000, "\(point.name)")
      }
      board.kernel.failures.disarm()
    }
  }

  @Test func suspend_losesNothing() throws {
    let board = try Board()
    try board.withDevice { device throws(KernelError) in
      let buffer = BufferObject(device.buffers, bytes: 2 << 20, alignment: 2 << 20)
      try buffer.pin()
      let start = Int(buffer.offset.rawValue)
      var generator = SplitMix64(seed: 4)
      for offset in stride(from: 0, to: 2 << 20, by: 512) {
        board.gpu.vram.store(generator.next(), at: start + offset)
      }
      let was = board.gpu.vram.bytes(at: start, count: 2 << 20)
      for _ in 0..<2 {
        try await device.suspend()
        board.gpu.vram.fill(0xee, at: 0, length: board.gpu.vram.count)
        try await device.resume()
        #expect(board.gpu.vram.bytes(at: start, count: 2 << 20) == was)
        try await device.copy(0x300_0000, 0x310_0000).wait()
      }
      buffer.unpin()
      buffer.destroy()
    }
  }

  @Test func aLostDevice_leavesNoWaiter() throws {
    for after: UInt64 in [0, 500, 2_000, 10_000] {
      let board = try Board()
      try board.withDevice(isSound: false) { device throws(KernelError) in
        let gpu = board.gpu
        device.kernel.after(after, "unplug") { gpu.loseDevice() }
        let error = await KernelError.of { () throws(KernelError) in
          for _ in 0..<100 { try await device.copy(0x100_0000, 0x200_0000).wait() }
        }
        #expect(error == .ENODEV, "after \(after)")
        #expect(device.isLost)
      }
    }
  }

  /// Three tasks copy and read back through one channel, in any order, with failures between.
  @Test(arguments: 0..<60 as Range<UInt64>)
  func manyTasks_inAnyOrder_getTheirOwnBytes(_ seed: UInt64) throws {
    let board = try Board(seed: seed)
    try board.withDevice { device throws(KernelError) in
      var generator = SplitMix64(seed: seed)
      let points: [InjectionPoint] = [
        .copyError, .pbdmaError, .interruptLost, .interruptEarly, .ringSpace, .fenceEmit,
      ]
      let point = points[generator.below(points.count)]
      board.kernel.failures.arm(point, .nth(UInt64(1 + generator.below(6))))
      let tasks = (0..<3).map { task in
        device.kernel.spawn("copier \(task)") {
          for round in 0..<4 {
            let from = UInt64(0x100_0000 + task * 0x10_0000)
            let to = from + UInt64(0x1000 * (round + 1))
            let value = UInt8(16 * task + round + 1)
            board.gpu.vram.fill(value, at: Int(from), length: 4096)
            let error = await KernelError.of { () throws(KernelError) in
              try await device.copy(from, to).wait()
            }
            if error == nil {
              #expect(
                board.gpu.vram.load(UInt8.self, at: Int(to) + 4095) == value,
                "seed \(seed) \(point.name) task \(task) round \(round)")
            } else if device.copyChannel.isKilled {
              let rebuild = await KernelError.of { () throws(KernelError) in
                if device.copyChannel.isKilled { try await device.copyChannel.rebuild() }
              }
              #expect(rebuild == nil || rebuild == .EBUSY, "seed \(seed): \(rebuild as Any)")
            }
          }
        }
      }
      for task in tasks { await task.join() }
      board.kernel.failures.disarm()
      if device.copyChannel.isKilled { try await device.copyChannel.rebuild() }
      try await NouveauFence.emit(on: device.copyChannel).wait()
    }
  }
}
