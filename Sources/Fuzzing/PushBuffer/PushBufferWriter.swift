import Base
import NVHardware

/// Writes push buffers that reach every part of the decoder and of the engines behind it: mostly
/// right, so that what is wrong is met in the middle of something.
struct PushBufferWriter {
  private typealias Places = PushBufferPlaces
  private typealias C = ClassC0B5
  private typealias H = ClassC06F
  var mutator: Mutator

  init(_ mutator: Mutator) { self.mutator = mutator }

  mutating func input() -> PushBufferInput {
    var input = PushBufferInput()
    input.isPrivileged = !mutator.oneIn(4)
    input.isAuthorized = !mutator.oneIn(4)
    input.hasTimeout = !mutator.oneIn(4)
    input.replaysFaults = mutator.oneIn(8)
    input.onGraphics = mutator.oneIn(16)
    input.onFalcon = mutator.oneIn(24)
    let count = mutator.oneIn(2) ? 1 : 1 + mutator.random.below(PushBufferInput.mostRounds)
    for number in 0..<count { input.rounds.append(round(number, input)) }
    return input
  }

  private mutating func round(_ number: Int, _ input: PushBufferInput) -> PushBufferInput.Round {
    var round = PushBufferInput.Round()
    round.channel = number == 0 ? 0 : mutator.random.below(2)
    round.replacesMethod = !mutator.oneIn(4)
    round.preempts = mutator.oneIn(12)
    round.unmaps = mutator.oneIn(12)
    if mutator.oneIn(16) { round.put = mutator.tellingWord() }
    var words: [UInt32] = []
    if !mutator.oneIn(12) {
      let object = input.onFalcon ? Class90B5.classID : C.classID
      words += [MethodHeader.incrementing(4, 0, count: 1).word, object]
    }
    for _ in 0...mutator.random.below(12) { words += sentence(input) }
    round.words = words
    let base = Places.words(UInt32(round.channel) + 1)
    round.entries = [entry(base, UInt32(words.count))]
    while mutator.oneIn(3), round.entries.count < PushBufferInput.mostEntries {
      round.entries.append(oddEntry(base, UInt32(words.count)))
    }
    return round
  }

  // MARK: entries

  private func entry(_ address: UInt64, _ dwords: UInt32) -> UInt64 {
    let entry = GPFIFOEntry(segment: GPUVirtualAddress(address), dwords: dwords)
    return UInt64(entry.word0) | UInt64(entry.word1) << 32
  }

  private mutating func oddEntry(_ base: UInt64, _ dwords: UInt32) -> UInt64 {
    switch mutator.random.below(6) {
    case 0: return mutator.random.next()
    // Control entries: no length, an opcode.
    case 1: return UInt64(mutator.random.below(8)) << 32 | UInt64(mutator.word())
    case 2: return entry(base, UInt32(mutator.random.below(0x4000)))
    case 3:
      return entry(mutator.pick(Places.telling) & (1 << 40 - 4), mutator.tellingWord() & 0x3ff)
    case 4: return entry(base + 4 * UInt64(mutator.random.below(64)), dwords)
    default: return entry(base, dwords) ^ 1 << UInt64(mutator.random.below(64))
    }
  }

  // MARK: words

  private mutating func sentence(_ input: PushBufferInput) -> [UInt32] {
    switch mutator.random.below(12) {
    case 0, 1: return semaphore()
    case 2: return hostMethod()
    case 3, 4, 5: return input.onFalcon ? falconCopy() : copy()
    case 6: return input.onFalcon ? anyMethod(0x100, 0x400) : blockLinear()
    case 7: return memoryOperation()
    case 8: return anyHeader()
    case 9: return anyMethod(0, 0x4000)
    case 10: return [mutator.tellingWord()]
    default: return [mutator.word()]
    }
  }

  private mutating func address() -> UInt64 {
    let base = mutator.pick(Places.telling)
    return mutator.oneIn(4) ? base &+ UInt64(mutator.random.below(0x1000)) : base
  }

  private func push(_ subchannel: UInt32, _ method: UInt32, _ data: [UInt32]) -> [UInt32] {
    [MethodHeader.incrementing(subchannel, method, count: UInt32(data.count)).word] + data
  }

  private func halves(_ address: UInt64) -> [UInt32] {
    [UInt32(truncatingIfNeeded: address >> 32), UInt32(truncatingIfNeeded: address)]
  }

  private mutating func semaphore() -> [UInt32] {
    let operations: [UInt32] = [
      2, 2, 2, 1 << 24 | 2, 1, 4, 8, 0x1001, 0x1004, 0x10, 0x10 | 3 << 27, 1 << 20 | 2, 0, 3, 0x1f,
    ]
    let operation = mutator.oneIn(8) ? mutator.word() : mutator.pick(operations)
    return push(0, H.SEMAPHOREA, halves(address()) + [mutator.tellingWord(), operation])
  }

  private mutating func hostMethod() -> [UInt32] {
    let methods: [UInt32] = [
      H.SET_OBJECT, H.ILLEGAL, H.NOP, H.NON_STALL_INTERRUPT, H.FB_FLUSH, H.SET_REFERENCE,
      H.SYNCPOINTA, H.SYNCPOINTB, H.WFI, H.CRC_CHECK, H.YIELD,
    ]
    let subchannel = UInt32(mutator.random.below(8))
    return push(
      mutator.oneIn(2) ? 0 : subchannel, mutator.pick(methods), [mutator.tellingWord()])
  }

  private mutating func memoryOperation() -> [UInt32] {
    let operations: [UInt32] = [5, 9, 0xa, 0xd, 0xe, 0xf, 0x10, 0, 0x1f]
    let last = mutator.pick(operations) << 27 | mutator.word() & 0x07ff_ffff
    let middle = mutator.oneIn(2) ? mutator.word() : UInt32(mutator.random.below(64))
    return push(0, H.MEM_OP_A, [mutator.word(), mutator.word(), middle, last])
  }

  private mutating func anyMethod(_ low: UInt32, _ high: UInt32) -> [UInt32] {
    let method = low + UInt32(mutator.random.below(Int(high - low))) & ~3
    let subchannel = mutator.oneIn(3) ? UInt32(mutator.random.below(8)) : 4
    return push(subchannel, method, [mutator.tellingWord()])
  }

  /// Any operation, count and place, whatever follows.
  private mutating func anyHeader() -> [UInt32] {
    let operation = UInt32(mutator.random.below(8)) << 29
    let count = UInt32(mutator.oneIn(4) ? mutator.random.below(0x2000) : mutator.random.below(6))
    let subchannel = UInt32(mutator.random.below(8)) << 13
    let method = UInt32(
      mutator.oneIn(2) ? mutator.random.below(0x1000) : mutator.random.below(0x40))
    let header = operation | count << (mutator.oneIn(4) ? 18 : 16) | subchannel | method
    return [header] + (0..<mutator.random.below(6)).map { _ in mutator.tellingWord() }
  }

  // MARK: copies

  private mutating func length() -> UInt32 {
    mutator.oneIn(4) ? mutator.tellingWord() : 1 + UInt32(mutator.random.below(0x400))
  }

  private mutating func launch() -> UInt32 {
    // Pitch on both sides; then any of the other bits.
    var word: UInt32 = 0x180 | UInt32(mutator.random.below(4))
    for _ in 0..<mutator.random.below(4) { word ^= 1 << UInt32(mutator.random.below(24)) }
    return mutator.oneIn(16) ? mutator.word() : word
  }

  private mutating func copy() -> [UInt32] {
    let line = length()
    let pitch = mutator.oneIn(2) ? line : mutator.tellingWord()
    let lines = mutator.oneIn(2) ? 1 : length()
    var words = push(
      4, C.OFFSET_IN_UPPER,
      halves(address()) + halves(address()) + [pitch, mutator.oneIn(2) ? pitch : length()]
        + [line, lines])
    if mutator.oneIn(3) {
      words += push(4, C.SET_SEMAPHORE_A, halves(address()) + [mutator.tellingWord()])
    }
    if mutator.oneIn(6) {
      words += push(
        4, C.SET_REMAP_CONST_A, [mutator.word(), mutator.word(), mutator.word() & 0x0333_7777])
    }
    if mutator.oneIn(6) {
      words += push(
        4, C.SET_RENDER_ENABLE_A, halves(address()) + [UInt32(mutator.random.below(8))])
    }
    if mutator.oneIn(6) {
      words += push(
        4, C.SET_SRC_PHYS_MODE,
        [UInt32(mutator.random.below(4)), UInt32(mutator.random.below(4))])
    }
    return words + push(4, C.LAUNCH_DMA, [launch()])
  }

  private mutating func blockLinear() -> [UInt32] {
    var words: [UInt32] = []
    for start in [C.SET_DST_BLOCK_SIZE, C.SET_SRC_BLOCK_SIZE] {
      let size =
        1 << 12 | UInt32(mutator.random.below(6)) << 4 | UInt32(mutator.random.below(6)) << 8
      let block = mutator.oneIn(6) ? mutator.word() : size
      words += push(
        4, start,
        [
          block, mutator.tellingWord(), mutator.tellingWord(), mutator.tellingWord(),
          UInt32(mutator.random.below(4)), mutator.oneIn(2) ? 0 : mutator.tellingWord(),
        ])
    }
    let launch = launch() & ~(mutator.oneIn(2) ? 0x80 : 0x100) | 0x200
    let shape = halves(address() & ~0x1ff) + halves(address() & ~0x1ff)
    words += push(4, C.OFFSET_IN_UPPER, shape + [length(), length(), length(), length()])
    return words + push(4, C.LAUNCH_DMA, [launch])
  }

  private mutating func falconCopy() -> [UInt32] {
    typealias F = Class90B5
    let line = length()
    let shape =
      halves(address()) + halves(address()) + [line, line, line & 0xffff, length() & 0x1fff]
    var words = push(4, F.SRC_ADDRESS_HIGH, shape)
    if mutator.oneIn(3) { words += push(4, F.FORMAT, [mutator.word() & 0x0333_ffff]) }
    if mutator.oneIn(3) {
      words += push(4, F.QUERY_ADDRESS_HIGH, halves(address()) + [mutator.word()])
    }
    let exec: UInt32 = mutator.oneIn(3) ? mutator.word() & 0x3111 : 0x110
    return words + push(4, F.EXEC, [exec])
  }
}
