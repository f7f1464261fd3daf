import Base
import NVHardware

/// A copy's fault: on which side's address, and why.
struct CopyFault: Error {
  let address: UInt64
  let type: NV_PFAULT.FaultType
  let access: NV_PFAULT.AccessType
}

/// Walks along one side of a copy and resolves its addresses to host bytes.
struct CopyCursor {
  private let board: Board
  private let context: InstanceContext
  private let isWrite: Bool
  /// Nil: virtual.
  private let physical: Aperture?
  /// The current stretch: which memory, where, how much is left, and the side's address of it.
  private(set) var memory: UInt8 = 0
  private(set) var offset = 0
  private(set) var left: UInt64 = 0
  private var next: UInt64 = 0
  /// Where the last host page was found, and the job's position of it.
  private var lastMemory: MappedMemory?
  private var lastPosition: UInt8 = 0
  /// Bytes of host memory that were resolved.
  private(set) var systemBytes: UInt64 = 0

  init(_ board: Board, _ launch: CopyLaunch, isWrite: Bool) {
    self.board = board
    context = launch.context
    self.isWrite = isWrite
    let isPhysical = isWrite ? launch.targetIsPhysical : launch.sourceIsPhysical
    let mode = isWrite ? launch.state.target.physicalMode : launch.state.source.physicalMode
    physical =
      isPhysical
      ? (ClassC0B5.PHYS_MODE_TARGET.get(mode) == ClassC0B5.PHYS_MODE_TARGET_LOCAL_FB
        ? .vram : .system) : nil
  }

  /// Makes `address` current; the stretch that is left begins there. `wanted` bytes are to be used.
  @inline(__always)
  mutating func seek(
    _ address: UInt64, _ wanted: UInt64, _ job: inout CopyJob
  ) throws(CopyFault) {
    if left != 0, address == next { return }
    try resolve(address, wanted, &job)
  }

  @inline(__always)
  mutating func advance(_ count: UInt64) {
    offset += Int(count)
    left -= count
    next &+= count
  }

  @inline(__always)
  private mutating func resolve(
    _ address: UInt64, _ wanted: UInt64, _ job: inout CopyJob
  ) throws(CopyFault) {
    next = address
    if physical == .system {
      try resolveSystem(address, address, wanted, .max, &job)
    } else {
      try resolveOther(address, &job)
    }
  }

  /// A bus address: the case of each page of a migration, so it is kept short.
  @inline(__always)
  private mutating func resolveSystem(
    _ bus: UInt64, _ address: UInt64, _ wanted: UInt64, _ limit: UInt64, _ job: inout CopyJob
  ) throws(CopyFault) {
    let run: MemoryRun
    do throws(BusFault) {
      run = try board.resolveSystem(bus, isWrite: isWrite, wanted: wanted)
    } catch {
      guard error == .dropped else { throw unanswered(address) }
      memory = CopyJob.nowhere
      left = min(limit, UInt64(PageSize.bytes) - bus % UInt64(PageSize.bytes))
      systemBytes += left
      return
    }
    if lastMemory !== run.memory {
      lastMemory = run.memory
      lastPosition = job.position(of: run.memory)
    }
    memory = lastPosition
    offset = run.offset
    left = min(limit, UInt64(run.length))
    systemBytes += left
  }

  /// No memory answers: what the MMU calls a violation of the region.
  private func unanswered(_ address: UInt64) -> CopyFault {
    CopyFault(address: address, type: .REGION_VIOLATION, access: isWrite ? .WRITE : .READ)
  }

  private mutating func resolveOther(_ address: UInt64, _ job: inout CopyJob) throws(CopyFault) {
    var place = Place(aperture: .vram, address: address)
    var length = UInt64.max
    if physical == nil {
      let access: NV_PFAULT.AccessType = isWrite ? .WRITE : .READ
      do throws(TranslationFault) {
        let found = try context.space.translate(address, access, limit: context.limit)
        place = found.place
        length = found.length
        if found.flags.contains(.sparse) {
          memory = CopyJob.nowhere
          left = length
          return
        }
      } catch {
        throw CopyFault(address: address, type: error.type, access: access)
      }
    }
    if place.aperture == .system {
      try resolveSystem(place.address, address, 0, length, &job)
      return
    }
    guard place.address < UInt64(board.vram.count) else { throw unanswered(address) }
    lastMemory = nil
    memory = job.position(of: board.vram)
    offset = Int(place.address)
    left = min(length, UInt64(board.vram.count - offset))
  }
}

/// Turns a launch into a job.
struct CopyPlanner {
  private let launch: CopyLaunch
  private var source: CopyCursor
  private var target: CopyCursor
  /// Bytes written, and whether host memory takes part.
  private(set) var bytes: UInt64 = 0
  private(set) var fault: CopyFault?

  init(_ board: Board, _ launch: CopyLaunch) {
    self.launch = launch
    source = CopyCursor(board, launch, isWrite: false)
    target = CopyCursor(board, launch, isWrite: true)
  }

  var usesSystemMemory: Bool { source.systemBytes != 0 || target.systemBytes != 0 }

  /// Fills `job`; a fault leaves what came before it.
  mutating func plan(into job: inout CopyJob) {
    job.clear()
    guard launch.transfers, launch.state.lineLength != 0 else { return }
    do throws(CopyFault) {
      if launch.isRemapped {
        try planRemap(&job)
      } else {
        try planCopy(&job)
      }
    } catch {
      fault = error
    }
  }

  private mutating func planCopy(_ job: inout CopyJob) throws(CopyFault) {
    let from = CopySurface(launch.state.source, isPitch: launch.sourceIsPitch)
    let to = CopySurface(launch.state.target, isPitch: launch.targetIsPitch)
    let line = UInt64(launch.state.lineLength)
    if launch.sourceIsPitch, launch.targetIsPitch, launch.isMultiLine,
      launch.state.source.pitch == launch.state.lineLength,
      launch.state.target.pitch == launch.state.lineLength
    {
      // Lines without gaps are one long line.
      try copy(from.base, to.base, line * launch.lines, &job)
      return
    }
    for index in 0..<launch.lines {
      var x: UInt64 = 0
      while x < line {
        let (sourceAddress, sourceRun) = from.locate(line: index, x: x)
        let (targetAddress, targetRun) = to.locate(line: index, x: x)
        let count = min(line - x, min(sourceRun, targetRun))
        try copy(sourceAddress, targetAddress, count, &job)
        x += count
      }
    }
  }

  private mutating func copy(
    _ from: UInt64, _ to: UInt64, _ count: UInt64, _ job: inout CopyJob
  ) throws(CopyFault) {
    var done: UInt64 = 0
    var open =
      job.segments.popLast() ?? CopySegment(source: 0, target: 0, from: 0, to: 0, length: 0)
    defer { if open.length != 0 { job.segments.append(open) } }
    while done < count {
      try source.seek(from &+ done, count - done, &job)
      try target.seek(to &+ done, count - done, &job)
      let step = min(count - done, min(source.left, target.left))
      if open.source == source.memory, open.target == target.memory, open.length != 0,
        source.memory == CopyJob.nowhere || open.from + open.length == source.offset,
        open.to + open.length == target.offset
      {
        open.length += Int(step)
      } else {
        if open.length != 0 { job.segments.append(open) }
        open = CopySegment(
          source: source.memory, target: target.memory, from: source.offset, to: target.offset,
          length: Int(step))
      }
      source.advance(step)
      target.advance(step)
      done += step
      bytes += step
    }
  }

  private mutating func planRemap(_ job: inout CopyJob) throws(CopyFault) {
    let remap = Remap(launch.state)
    let from = CopySurface(launch.state.source, isPitch: launch.sourceIsPitch)
    let to = CopySurface(launch.state.target, isPitch: launch.targetIsPitch)
    let elements = UInt64(launch.state.lineLength)
    if remap.isFill { job.pattern = remap.fillElement } else { job.remap = remap }
    for line in 0..<launch.lines {
      if !remap.readsNothing {
        try stream(from, line, elements * UInt64(remap.sourceBytes), isWrite: false, &job)
      }
      try stream(to, line, elements * UInt64(remap.targetBytes), isWrite: true, &job)
    }
  }

  /// Appends the runs of one line to the job's reads or fills.
  private mutating func stream(
    _ surface: CopySurface, _ line: UInt64, _ count: UInt64, isWrite: Bool, _ job: inout CopyJob
  ) throws(CopyFault) {
    var cursor = isWrite ? target : source
    defer { if isWrite { target = cursor } else { source = cursor } }
    var x: UInt64 = 0
    while x < count {
      let (address, run) = surface.locate(line: line, x: x)
      try cursor.seek(address, min(run, count - x), &job)
      let step = min(min(run, cursor.left), count - x)
      let piece = CopyRun(memory: cursor.memory, offset: cursor.offset, length: Int(step))
      if isWrite {
        Self.append(piece, to: &job.fills)
        bytes += step
      } else {
        Self.append(piece, to: &job.reads)
      }
      cursor.advance(step)
      x += step
    }
  }

  private static func append(_ run: CopyRun, to runs: inout [CopyRun]) {
    if let last = runs.last, last.memory == run.memory,
      run.memory == CopyJob.nowhere || last.offset + last.length == run.offset
    {
      runs[runs.count - 1].length += run.length
    } else {
      runs.append(run)
    }
  }
}
