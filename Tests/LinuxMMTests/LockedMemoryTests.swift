import Base
import KernelRuntime
import LinuxMM
import Testing

@Suite struct LockedMemoryTests {
  @Test func lockedPages_areThereAtOnce_andStay() throws {
    let machine = try TestMachine(swapPages: 32)
    try machine.run {
      let range = try await machine.map(pages: 4, filled: false)
      try await machine.space.lockMemory(range)
      #expect((0..<4).allSatisfy { machine.location(range, $0).isRAM })
      #expect(machine.space.lockedPages == 4)
      #expect(machine.mm.isUnevictable(try machine.frame(range)))
      #expect(await machine.mm.reclaim(pages: 4) == 0)
      await expectThrows(KernelError.EINVAL) { try await machine.space.swapOut(range) }
      try await machine.space.unlockMemory(range)
      #expect(!machine.mm.isUnevictable(try machine.frame(range)))
      #expect(await machine.mm.reclaim(pages: 4) == 4)
    }
  }

  @Test func lockOnFault_locksWhatIsTouched() throws {
    let machine = try TestMachine(swapPages: 32)
    try machine.run {
      let range = try await machine.map(pages: 3, filled: false)
      try await machine.space.lockMemory(range, onFault: true)
      #expect(machine.location(range, 0) == .none)
      try await machine.fill(range, 1)
      #expect(machine.mm.isUnevictable(try machine.frame(range, 1)))
    }
  }

  @Test func lock_bringsPagesBackFromDeviceAndSwapSpace() throws {
    let machine = try TestMachine(swapPages: 32)
    try machine.run {
      let range = try await machine.map(pages: 6)
      try await machine.device.take(machine.space, range.subrange(0..<3))
      try await machine.space.swapOut(range.subrange(3..<6))
      try await machine.space.lockMemory(range)
      for page in 0..<6 {
        #expect(machine.mm.isUnevictable(try machine.frame(range, page)), "page \(page)")
      }
      #expect(machine.mm.usedSwapPages == 0)
      try await machine.expectPattern(range)
    }
  }

  /// As in Linux, a lock keeps pages from swap space, not from a device.
  @Test func lockedPages_migrateAndReturnLocked() throws {
    let machine = try TestMachine(swapPages: 32)
    try machine.run {
      let range = try await machine.map(pages: 4)
      try await machine.space.lockMemory(range)
      #expect(try await machine.device.take(machine.space, range) == 4)
      try await machine.expectPattern(range)
      #expect(machine.mm.isUnevictable(try machine.frame(range)))
      try await machine.device.take(machine.space, range)
      try await machine.device.evict()
      #expect(machine.mm.isUnevictable(try machine.frame(range, 2)))
      #expect(await machine.mm.reclaim(pages: 4) == 0)
    }
  }

  @Test func limits_haveTheKernelsErrors() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 4)
      machine.space.lockLimit = 0
      await expectThrows(KernelError.EPERM) { try await machine.space.lockMemory(range) }
      await expectThrows(KernelError.EPERM) { try await machine.space.lockAllMemory(.current) }
      machine.space.lockLimit = 3 << 12
      await expectThrows(KernelError.ENOMEM) { try await machine.space.lockMemory(range) }
      await expectThrows(KernelError.ENOMEM) { try await machine.space.lockAllMemory(.current) }
      #expect(machine.space.lockedPages == 0)
      try await machine.space.lockMemory(range.subrange(0..<3))
      // What is locked already doesn't count twice.
      try await machine.space.lockMemory(range.subrange(0..<2))
      await expectThrows(KernelError.EINVAL) { try await machine.space.lockAllMemory(.onFault) }
      await expectThrows(KernelError.EINVAL) { try await machine.space.lockAllMemory([]) }
    }
  }

  @Test func hole_isAnError_andWhatLiesBeforeItIsLocked() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 5)
      try await machine.space.unmap(range.subrange(2..<3))
      await expectThrows(KernelError.ENOMEM) { try await machine.space.lockMemory(range) }
      #expect(machine.space.lockedPages == 2)
      try await machine.space.lockMemory(range.subrange(3..<5))
      await expectThrows(KernelError.ENOMEM) { try await machine.space.unlockMemory(range) }
      #expect(machine.space.lockedPages == 2)
      await expectThrows(KernelError.ENOMEM) {
        try await machine.space.lockMemory(range.subrange(2..<4))
      }
    }
  }

  @Test func lockAll_currentAndFuture() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 2, filled: false)
      try await machine.space.lockAllMemory([.current, .future])
      #expect(machine.location(range).isRAM)
      let later = try await machine.map(pages: 2, filled: false)
      #expect(machine.mm.isUnevictable(try machine.frame(later)))
      machine.space.lockLimit = 4 << 12
      await expectThrows(KernelError.EAGAIN) { try await machine.map(pages: 1) }
      await machine.space.unlockAllMemory()
      #expect(machine.space.lockedPages == 0)
      let last = try await machine.map(pages: 1)
      #expect(!machine.mm.isUnevictable(try machine.frame(last)))
    }
  }

  @Test func failureWhileFaultingIn_keepsTheLock() throws {
    let machine = try TestMachine()
    try machine.run {
      let range = try await machine.map(pages: 3, filled: false)
      machine.kernel.failures.arm(.pageAlloc, .nth(2))
      await expectThrows(KernelError.EAGAIN) { try await machine.space.lockMemory(range) }
      #expect(machine.space.lockedPages == 3)
      let sealed = try await machine.map(pages: 1, .none, filled: false)
      await expectThrows(KernelError.ENOMEM) { try await machine.space.lockMemory(sealed) }
    }
  }
}
