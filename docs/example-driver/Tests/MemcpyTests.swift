import ExampleDriver
import NouveauTestKit
import Testing

@Suite struct MemcpyTests {
  @Test func driver_keepsEveryByte_inAnyOrder() throws {
    try MemcpyFlow().holdsInOrders(1000)
    try MemcpyFlow().holdsInOrders(500, .pct(depth: 3))
  }

  @Test func driver_survivesEachFailure() throws {
    try MemcpyFlow().survivesEachFailure()
  }

  /// A failed copy, under many orders.
  @Test func driver_survivesABadCopy_inAnyOrder() throws {
    try MemcpyFlow().holdsInOrders(500, with: [Injection(CopyThread.badCopy)])
  }

  @Test func sameSeed_givesTheSameRun() throws {
    try MemcpyFlow().isDeterministic(schedules: 20)
  }
}
