import LinuxMM
import Testing

/// Runs `body` on a machine with `pool` huge pages in its pool. At the end every process exits, and
/// all of them must be in it again.
func withHugetlbPool(_ pool: Int, _ body: @escaping (TestMachine) async throws -> Void) throws {
  let machine = try TestMachine(ramPages: 4096)
  #expect(machine.mm.setHugetlbPages(pool) == pool)
  try machine.run {
    try await body(machine)
    try machine.check()
    for space in machine.mm.addressSpaces { await space.exit() }
    await machine.mm.drainLRUOfAllCPUs()
  }
  let counters = machine.mm.hugetlbCounters
  #expect([counters.total, counters.free, counters.reserved] == [pool, pool, 0])
  #expect(machine.mm.setHugetlbPages(0) == 0)
  #expect(machine.mm.freeSystemPages == 4095)
}
