import Base

/// A copy as the registers described it when it was triggered.
struct PCOPYJob {
  var source: PCOPYSurface
  var destination: PCOPYSurface
  let lines: Int
  let swizzle: PCOPYSwizzle?
  /// Whether an interrupt follows.
  let raisesInterrupt: Bool
  /// Whether the unit then waits for the interrupt to be cleared.
  let interruptBlocks: Bool

  // SOURCE: class 90B5: YCNT has 13 bits, XCNT 16, and a pixel up to 16 bytes.
  private static let mostLines = 0x1fff
  private static let longestLine: UInt32 = 0xffff * 16

  /// Bytes that the copy writes.
  var bytes: Int { lines * destination.lineBytes }

  init(_ register: (PCOPYRegister) -> UInt32) throws(PCOPYProblemError) {
    let control = register(.control)
    source = try PCOPYSurface(
      addressLow: register(.sourceAddressLow), configuration: register(.sourceConfiguration),
      lineBytes: register(.sourceLineBytes), block: register(.sourceBlock),
      pitch: register(.sourcePitch),
      isBlockLinear: PCOPYControl.sourceBlockLinear.get(control) == 1,
      isWide: PCOPYControl.sourceWideBlock.get(control) == 1,
      port: PCOPYControl.sourcePort.get(control))
    destination = try PCOPYSurface(
      addressLow: register(.destinationAddressLow),
      configuration: register(.destinationConfiguration),
      lineBytes: register(.destinationLineBytes), block: register(.destinationBlock),
      pitch: register(.destinationPitch),
      isBlockLinear: PCOPYControl.destinationBlockLinear.get(control) == 1,
      isWide: PCOPYControl.destinationWideBlock.get(control) == 1,
      port: PCOPYControl.destinationPort.get(control))
    lines = PCOPYControl.multiLine.get(control) == 1 ? Int(register(.lineCount)) : 1
    let longest = max(register(.sourceLineBytes), register(.destinationLineBytes))
    guard lines <= Self.mostLines, longest <= Self.longestLine else {
      throw PCOPYProblemError(
        problem: .tooLarge(lines: UInt32(lines), lineBytes: longest))
    }
    raisesInterrupt = PCOPYControl.interrupt.get(control) == 1
    interruptBlocks = PCOPYControl.blockingInterrupt.get(control) == 1
    if PCOPYControl.swizzle.get(control) == 1 {
      let constant =
        UInt64(register(.swizzleConstant1)) << 32 | UInt64(register(.swizzleConstant0))
      let swizzle = try PCOPYSwizzle(
        control: register(.swizzleControl),
        map: [
          register(.swizzleMap0), register(.swizzleMap1), register(.swizzleMap2),
          register(.swizzleMap3),
        ], constant: constant)
      self.swizzle = swizzle
    } else {
      swizzle = nil
    }
    try checkLineLengths()
  }

  /// The two line lengths must agree; a swizzle that needs no source must not be given any, because
  /// the hardware then waits for a reader that never comes.
  private func checkLineLengths() throws(PCOPYProblemError) {
    let mismatch = PCOPYProblem.lineLengthMismatch(
      source: UInt32(source.lineBytes), destination: UInt32(destination.lineBytes))
    guard let swizzle else {
      if source.lineBytes != destination.lineBytes { throw PCOPYProblemError(problem: mismatch) }
      return
    }
    guard swizzle.usesSource == (source.lineBytes > 0) || destination.lineBytes == 0 else {
      throw PCOPYProblemError(problem: .sourceReferenceMismatch)
    }
    let groups = destination.lineBytes / swizzle.map.count
    guard destination.lineBytes % swizzle.map.count == 0,
      !swizzle.usesSource || source.lineBytes == groups * swizzle.sourceStep
    else { throw PCOPYProblemError(problem: mismatch) }
  }
}

extension PCOPYJob {
  /// Moves the bytes.
  mutating func carryOut(
    _ memory: any FalconMemory, source from: FalconMemoryTarget?,
    destination to: FalconMemoryTarget, time: UInt64
  ) throws(FalconMemoryFault) {
    guard destination.lineBytes > 0 else { return }
    if let swizzle {
      for _ in 0..<lines {
        let bytes = try from.map { (target) throws(FalconMemoryFault) in
          try readLine(memory, target)
        }
        let groups = destination.lineBytes / swizzle.map.count
        try writeLine(swizzle.line(bytes ?? [], groups: groups, time: time), memory, to)
        source.advanceLine()
        destination.advanceLine()
      }
      return
    }
    guard let from else { return }
    if let whole = contiguousBytes {
      try memory.copy(
        from: from, at: source.line, to: to, at: destination.line, count: whole)
      return
    }
    for _ in 0..<lines {
      try copyLine(memory, from, to)
      source.advanceLine()
      destination.advanceLine()
    }
  }

  /// The length of the whole copy when both sides are one contiguous run.
  private var contiguousBytes: Int? {
    guard !source.isBlockLinear, !destination.isBlockLinear else { return nil }
    let isDense =
      source.pitch == UInt64(source.lineBytes) && destination.pitch == source.pitch
    return lines == 1 || isDense ? bytes : nil
  }

  private func copyLine(
    _ memory: any FalconMemory, _ from: FalconMemoryTarget, _ to: FalconMemoryTarget
  ) throws(FalconMemoryFault) {
    var x = 0
    while x < destination.lineBytes {
      let read = source.run(at: x)
      let write = destination.run(at: x)
      let count = min(read.count, write.count)
      try memory.copy(from: from, at: read.address, to: to, at: write.address, count: count)
      x += count
    }
  }

  private func readLine(
    _ memory: any FalconMemory, _ target: FalconMemoryTarget
  ) throws(FalconMemoryFault) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < source.lineBytes {
      let run = source.run(at: bytes.count)
      bytes += try memory.read(target, at: run.address, count: run.count)
    }
    return bytes
  }

  private func writeLine(
    _ bytes: [UInt8], _ memory: any FalconMemory, _ target: FalconMemoryTarget
  ) throws(FalconMemoryFault) {
    var x = 0
    while x < bytes.count {
      let run = destination.run(at: x)
      try memory.write(Array(bytes[x..<x + run.count]), to: target, at: run.address)
      x += run.count
    }
  }
}
