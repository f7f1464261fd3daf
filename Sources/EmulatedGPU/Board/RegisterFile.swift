import Base
import DeviceSeam
import KernelRuntime
import NVHardware

/// BAR0: hands each access to the unit that has the register.
final class RegisterFile: RegisterWindow {
  private unowned let gpu: EmulatedGPU
  private let board: Board
  /// BAR0_WINDOW as written.
  private var window: UInt32 = 0

  init(_ gpu: EmulatedGPU) {
    self.gpu = gpu
    board = gpu.board
  }

  var byteCount: UInt64 { ConfigurationSpace.bar0Bytes }

  func read32(at offset: UInt32) -> UInt32 {
    guard !board.isLost else { return ~0 }
    if let place = pramin(offset) {
      do throws(BusFault) {
        return try board.load(UInt32.self, at: place)
      } catch {
        return ~0
      }
    }
    if offset == NV_PBUS.BAR0_WINDOW { return window }
    board.touch()
    if offset & 3 == 0, let value = gpu.readRegister(offset) { return value }
    board.reportUnimplemented(.registerRead, UInt64(offset))
    return NV_PBUS.PRI_ERROR
  }

  func write32(_ value: UInt32, at offset: UInt32) {
    guard !board.isLost else { return }
    if let place = pramin(offset) {
      // A refused store is recorded by the board.
      do throws(BusFault) { try board.store(value, at: place) } catch {}
      return
    }
    if offset == NV_PBUS.BAR0_WINDOW {
      window = value
      return
    }
    board.touch()
    if offset & 3 == 0, gpu.writeRegister(value, offset) { return }
    board.reportUnimplemented(.registerWrite, UInt64(offset), UInt64(value))
  }

  func fill32(_ value: UInt32, at offset: UInt32, count: Int) {
    guard !board.isLost, value == 0, count > 0, let place = pramin(offset),
      pramin(offset + UInt32(4 * (count - 1))) != nil, place.aperture == .vram,
      board.vram.contains(Int(place.address), 4 * count)
    else {
      for index in 0..<UInt32(count) { write32(value, at: offset + 4 * index) }
      return
    }
    board.vram.fill(0, at: Int(place.address), length: 4 * count)
  }

  func writeSeries(_ first: UInt64, step: UInt64, at offset: UInt32, count: Int) {
    guard !board.isLost, count > 0, let place = pramin(offset),
      pramin(offset + UInt32(8 * count - 4)) != nil, place.aperture == .vram,
      board.vram.contains(Int(place.address), 8 * count)
    else {
      var word = first
      for index in 0..<UInt32(count) {
        write32(UInt32(truncatingIfNeeded: word >> 32), at: offset + 8 * index + 4)
        write32(UInt32(truncatingIfNeeded: word), at: offset + 8 * index)
        word &+= step
      }
      return
    }
    board.vram.storeSeries(first, step: step, at: Int(place.address), count: count)
  }

  /// Where an offset in the window onto memory leads; nil outside the window.
  @inline(__always)
  private func pramin(_ offset: UInt32) -> Place? {
    let inside = offset &- NV_PRAMIN.base
    guard inside < NV_PRAMIN.byteCount, offset & 3 == 0 else { return nil }
    let base = UInt64(window & 0xff_ffff) << 16
    return Place(
      aperture: window >> 24 & 3 == NV_TARGET.VID_MEM ? .vram : .system,
      address: base + UInt64(inside))
  }
}

/// BAR1: VRAM or an address space of its own, and the doorbell.
///
/// Until Pascal a write to a channel's GP_PUT in the USERD range of BAR1 is snooped by the host: it
/// is the doorbell (SOURCE: nouveau nvkm/engine/fifo/gf100.c, USERD in BAR1).
final class ApertureBAR1: ApertureWindow {
  private unowned let gpu: EmulatedGPU
  private let board: Board
  private let bar1: BarWindow

  init(_ gpu: EmulatedGPU) {
    self.gpu = gpu
    board = gpu.board
    bar1 = gpu.bar1
  }

  var byteCount: UInt64 { board.configuration.bar1Bytes }

  func read32(at offset: UInt64) -> UInt32 {
    guard !board.isLost, offset < byteCount else { return ~0 }
    board.touch()
    return bar1.load(at: offset)
  }

  func write32(_ value: UInt32, at offset: UInt64) {
    guard !board.isLost, offset < byteCount else { return }
    board.touch()
    guard bar1.store(value, at: offset), NV_PFIFO.BAR1_BASE_VALID.get(gpu.host.userdBase) == 1
    else { return }
    let base = UInt64(NV_PFIFO.BAR1_BASE_PTR.get(gpu.host.userdBase)) << 12
    guard offset >= base else { return }
    let inside = offset - base
    let size = UInt64(NV_RAMUSERD.byteCount)
    guard inside % size == UInt64(NV_RAMUSERD.GP_PUT),
      inside / size < UInt64(board.channelCount)
    else { return }
    if board.kernel.failures.fires(.deviceLost) {
      gpu.loseDevice()
      return
    }
    gpu.host.ring(UInt32(inside / size))
  }
}
