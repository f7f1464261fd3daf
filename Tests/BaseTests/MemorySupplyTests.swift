import Base
import Testing

@Suite struct MemorySupplyTests {
  @Test func memory_goesBackAndComesAgainZeroed() throws {
    let supply = MemorySupply()
    do {
      let memory = try MappedMemory(count: 40 << 12, from: supply)
      memory.store(UInt64.max, at: 4092)
      memory.fill(7, at: 9 << 12, length: 3 << 12)
      memory.store(bytes: [1, 2, 3], at: 20 << 12)
      memory.storeSeries(5, step: 1, at: 30 << 12, count: 600)
      memory.copy(from: memory, at: 0, to: 39 << 12, length: 4096)
      #expect(supply.idleMappings == 0)
    }
    #expect(supply.idleMappings == 1)
    #expect(supply.isClean())
    // Both pages of the store across their border, three, one, two, and the last.
    #expect(supply.recycledPages == 2 + 3 + 1 + 2 + 1)
    let again = try MappedMemory(count: 40 << 12, from: supply)
    #expect(supply.idleMappings == 0)
    #expect(again.load(UInt64.self, at: 4092) == 0)
  }

  @Test func anotherSize_isMappedAnew() throws {
    let supply = MemorySupply()
    do { _ = try MappedMemory(count: 4096, from: supply) }
    let larger = try MappedMemory(count: 8192, from: supply)
    #expect(supply.idleMappings == 1)
    #expect(larger.count == 8192)
  }

  @Test func discarded_readsZero() throws {
    let supply = MemorySupply()
    let memory = try MappedMemory(count: 8192, from: supply)
    memory.fill(0xaa, at: 0, length: 8192)
    memory.discard(at: 4096, count: 4096)
    #expect(memory.load(UInt8.self, at: 4095) == 0xaa)
    #expect(memory.load(UInt8.self, at: 4096) == 0)
  }

  @Test func tables_markWhatTheyHandOut() throws {
    let supply = MemorySupply()
    do {
      let table = try RecordTable(count: 3000, of: UInt32.self, from: supply)
      table[0] = 1
      table[2999] += 5
      #expect(table[1500] == 0)
    }
    #expect(supply.recycledPages == 2)
    #expect(supply.isClean())
  }

  @Test func writesByOtherWays_areAnnounced() throws {
    let supply = MemorySupply()
    do {
      let memory = try MappedMemory(count: 16 << 12, from: supply)
      memory.willWrite(at: 4095, length: 2)
    }
    #expect(supply.recycledPages == 2)
  }

  @Test func announcedWriteOutside_traps() async {
    await #expect(processExitsWith: .failure) {
      let supply = MemorySupply()
      let memory = try MappedMemory(count: 4096, from: supply)
      memory.willWrite(at: 4096, length: 1)
    }
  }
}
