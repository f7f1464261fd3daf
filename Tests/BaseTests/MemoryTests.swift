import Base
import Testing

@Suite struct MappedMemoryTests {
  @Test func size_isRoundedToPagesAndReadsZero() throws {
    let memory = try MappedMemory(count: 5000)
    #expect(memory.count == 8192)
    #expect(memory.load(UInt64.self, at: 8184) == 0)
  }

  @Test func stores_areLittleEndianAtAnyOffset() throws {
    let memory = try MappedMemory(count: 4096)
    memory.store(UInt32(0x0102_0304), at: 3)
    #expect(memory.bytes(at: 3, count: 4) == [4, 3, 2, 1])
    #expect(memory.load(UInt16.self, at: 5) == 0x0102)
    #expect(memory.words(at: 3, count: 2) == [0x0102_0304, 0])
  }

  @Test func copy_handlesOverlap() throws {
    let memory = try MappedMemory(count: 4096)
    memory.store(bytes: [1, 2, 3, 4, 5], at: 0)
    memory.copy(from: memory, at: 0, to: 2, length: 5)
    #expect(memory.bytes(at: 0, count: 7) == [1, 2, 1, 2, 3, 4, 5])
  }

  @Test func fillAndDiscard_changeWhatTheyName() throws {
    let memory = try MappedMemory(count: 8192)
    memory.fill(0xaa, at: 0, length: 8192)
    memory.discard(at: 4096, count: 4096)
    #expect(memory.load(UInt8.self, at: 4095) == 0xaa)
    #expect(memory.load(UInt8.self, at: 4096) == 0)
    let sum = memory.withBytes(at: 4094, count: 4) { span in
      var sum = 0
      for index in 0..<span.byteCount { sum += Int(span.unsafeByte(index)) }
      return sum
    }
    #expect(sum == 2 * 0xaa)
  }

  @Test func noBytes_areRefused() {
    #expect(throws: KernelError.EINVAL) { try MappedMemory(count: 0) }
  }

  @Test func moreThanTheAddressSpace_isRefused() {
    #expect(throws: KernelError.ENOMEM) { try MappedMemory(count: 1 << 50) }
  }

  @Test func bigSparseMapping_costsNothing() throws {
    let memory = try MappedMemory(count: 64 << 30)
    memory.store(UInt8(7), at: memory.count - 1)
    #expect(memory.load(UInt8.self, at: memory.count - 1) == 7)
  }

  @Test func accessOutside_traps() async {
    await #expect(processExitsWith: .failure) {
      let memory = try MappedMemory(count: 4096)
      _ = memory.load(UInt32.self, at: 4094)
    }
  }
}

extension RawSpan {
  fileprivate func unsafeByte(_ index: Int) -> UInt8 {
    unsafe unsafeLoad(fromByteOffset: index, as: UInt8.self)
  }
}

@Suite struct RecordTableTests {
  private struct Row: BitwiseCopyable {
    var key: UInt32 = 0
    var value: UInt64 = 0
  }

  @Test func records_startAsZerosAndKeepWrites() throws {
    let table = try RecordTable(count: 1000, of: Row.self)
    #expect(table[999].value == 0)
    table[999].value = 5
    table[0].key += 3
    #expect(table[999].value == 5)
    #expect(table[0].key == 3)
    #expect(RecordTable<Row>.bytesPerRecord == 16)
  }

  @Test func discard_zeroesOnlyWholePagesInside() throws {
    let table = try RecordTable(count: 1024, of: Row.self)
    for index in 0..<1024 { table[index].key = 1 }
    // 256 records a page: the range covers page 1 wholly, pages 0 and 2 in part.
    table.discard(200..<600)
    #expect(table[200].key == 1)
    #expect(table[256].key == 0)
    #expect(table[511].key == 0)
    #expect(table[512].key == 1)
  }

  @Test func indexOutside_traps() async {
    await #expect(processExitsWith: .failure) {
      let table = try RecordTable(count: 4, of: UInt32.self)
      table[4] = 1
    }
  }
}

@Suite struct GeneratorTests {
  /// SOURCE: the reference outputs for seed 1234567 published with the generator.
  @Test func sequence_isThePublishedOne() {
    var generator = SplitMix64(seed: 1_234_567)
    let drawn = (0..<3).map { _ in generator.next() }
    #expect(
      drawn == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423])
  }

  @Test func draws_stayBelowTheirBoundAndReachAll() {
    var generator = SplitMix64(seed: 3)
    var seen = [Int](repeating: 0, count: 7)
    for _ in 0..<7000 { seen[generator.below(7)] += 1 }
    for count in seen { #expect(count > 800 && count < 1200) }
    let never = generator.chance(0, in: 5)
    let always = generator.chance(5, in: 5)
    #expect(!never && always)
  }

  @Test func split_isIndependentOfLaterDraws() {
    var one = SplitMix64(seed: 9)
    var other = SplitMix64(seed: 9)
    var child = one.split()
    var twin = other.split()
    _ = other.next()
    #expect(child.next() == twin.next())
  }
}

@Suite struct InvariantTests {
  @Test func failure_printsMessageAndPlace() async throws {
    let result = try await #require(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      invariant(CommandLine.arguments.isEmpty, "seventeen is not a power of two")
    }
    let text = String(decoding: result.standardErrorContent, as: UTF8.self)
    #expect(text.contains("seventeen is not a power of two"))
    #expect(text.contains("MemoryTests.swift"))
  }

  @Test func message_isNotBuiltWhenTrue() {
    var built = 0
    func message() -> String {
      built += 1
      return ""
    }
    invariant(built == 0, message())
    #expect(built == 0)
  }
}
