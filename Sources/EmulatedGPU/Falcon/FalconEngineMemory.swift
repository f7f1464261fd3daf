import Base
import Falcon
import NVHardware

/// The memory that a falcon and its copy unit reach: address spaces of channels, video memory and
/// the bus, by the type of the port.
final class FalconEngineMemory: FalconMemory {
  private let board: Board
  private let mmu: MMU
  /// The channel of the last access; an instance block is read once a switch.
  private var context: (number: UInt32, found: InstanceContext)?
  /// Why the last access was refused.
  private var cause: NV_PFAULT.FaultType?
  /// `gpu.copy_fault` is armed: half of the next copy's bytes move.
  var breaksNextCopy = false
  /// `gpu.ecc_poison` is armed: the next copy's source loses a page.
  var poisonsNextCopy = false

  init(_ board: Board, _ mmu: MMU) {
    self.board = board
    self.mmu = mmu
  }

  func disarm() {
    context = nil
    cause = nil
    breaksNextCopy = false
    poisonsNextCopy = false
  }

  func takeCause() -> NV_PFAULT.FaultType? {
    defer { cause = nil }
    return cause
  }

  // MARK: accesses

  func read(
    _ target: FalconMemoryTarget, at address: UInt64, count: Int
  ) throws(FalconMemoryFault) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      let at = address &+ UInt64(bytes.count)
      let piece = try resolve(target, at, count - bytes.count, isWrite: false)
      if let memory = piece.memory {
        try checkPoison(memory, piece, target, at)
        bytes += memory.bytes(at: piece.offset, count: piece.length)
      } else {
        bytes += [UInt8](repeating: 0, count: piece.length)
      }
    }
    return bytes
  }

  func write(
    _ bytes: [UInt8], to target: FalconMemoryTarget, at address: UInt64
  ) throws(FalconMemoryFault) {
    var done = 0
    let limit = takeBreak(bytes.count)
    while done < bytes.count {
      let at = address &+ UInt64(done)
      if done >= limit { throw refuse(target, at, .PTE, isWrite: true) }
      let piece = try resolve(target, at, min(bytes.count, limit) - done, isWrite: true)
      if let memory = piece.memory {
        memory.store(bytes: Array(bytes[done..<done + piece.length]), at: piece.offset)
        heal(memory, piece)
      }
      done += piece.length
    }
  }

  func copy(
    from source: FalconMemoryTarget, at from: UInt64, to destination: FalconMemoryTarget,
    at to: UInt64, count: Int
  ) throws(FalconMemoryFault) {
    var done = 0
    let limit = takeBreak(count)
    while done < count {
      let (at, into) = (from &+ UInt64(done), to &+ UInt64(done))
      if done >= limit { throw refuse(destination, into, .PTE, isWrite: true) }
      let left = min(count, limit) - done
      let read = try resolve(source, at, left, isWrite: false)
      if poisonsNextCopy, read.memory === board.vram {
        poisonsNextCopy = false
        board.poison(UInt64(read.offset))
      }
      if let memory = read.memory { try checkPoison(memory, read, source, at) }
      let write = try resolve(destination, into, read.length, isWrite: true)
      if let memory = write.memory {
        if let other = read.memory {
          memory.copy(from: other, at: read.offset, to: write.offset, length: write.length)
        } else {
          memory.fill(0, at: write.offset, length: write.length)
        }
        heal(memory, write)
      }
      done += write.length
    }
  }

  /// The byte before which an armed failure lets a copy fault.
  private func takeBreak(_ count: Int) -> Int {
    guard breaksNextCopy else { return count }
    breaksNextCopy = false
    return count / 2
  }

  // MARK: translation

  /// Bytes that lie together; without memory where a sparse page reads zero and drops writes.
  private struct Piece {
    var memory: MappedMemory?
    var offset = 0
    var length: Int
  }

  private func resolve(
    _ target: FalconMemoryTarget, _ address: UInt64, _ wanted: Int, isWrite: Bool
  ) throws(FalconMemoryFault) -> Piece {
    var place = Place(aperture: .vram, address: address)
    var length = UInt64(wanted)
    switch target {
    case .videoMemory: break
    case .systemMemory: place.aperture = .system
    case .channel(let number):
      do throws(TranslationFault) {
        let context = try context(of: number)
        let found = try context.space.translate(
          address, isWrite ? .WRITE : .READ, limit: context.limit)
        length = min(length, found.length)
        if found.flags.contains(.sparse) { return Piece(length: Int(length)) }
        place = found.place
      } catch {
        throw refuse(target, address, error.type, isWrite: isWrite)
      }
    }
    do throws(BusFault) {
      let run = try board.resolve(place, isWrite: isWrite)
      return Piece(
        memory: run.memory, offset: run.offset, length: min(Int(length), run.length))
    } catch {
      throw refuse(target, address, .REGION_VIOLATION, isWrite: isWrite)
    }
  }

  private func context(of number: UInt32) throws(TranslationFault) -> InstanceContext {
    if let context, context.number == number { return context.found }
    let found = try mmu.context(at: Place(aperture: .vram, address: UInt64(number) << 12))
    context = (number, found)
    return found
  }

  /// Forgets what an instance block said: another channel is loaded, or the block has changed.
  func forgetContext() { context = nil }

  private func refuse(
    _ target: FalconMemoryTarget, _ address: UInt64, _ type: NV_PFAULT.FaultType, isWrite: Bool
  ) -> FalconMemoryFault {
    cause = type
    return FalconMemoryFault(target: target, address: address, isWrite: isWrite)
  }

  // MARK: uncorrectable memory errors

  private func checkPoison(
    _ memory: MappedMemory, _ piece: Piece, _ target: FalconMemoryTarget, _ address: UInt64
  ) throws(FalconMemoryFault) {
    guard memory === board.vram, !board.poisonedPages.isEmpty,
      let bad = board.firstPoison(
        in: UInt64(piece.offset)..<UInt64(piece.offset + piece.length))
    else { return }
    throw refuse(target, address &+ bad &- UInt64(piece.offset), .POISONED, isWrite: false)
  }

  private func heal(_ memory: MappedMemory, _ piece: Piece) {
    guard memory === board.vram else { return }
    board.heal(UInt64(piece.offset)..<UInt64(piece.offset + piece.length))
  }
}
