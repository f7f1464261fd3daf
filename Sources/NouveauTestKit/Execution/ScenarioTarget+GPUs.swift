import Base

// A target with one GPU needs none of this: that GPU is number 0, and there is no other.
extension ScenarioTarget {
  private func only(_ gpu: Int) throws(OperationFailure) {
    if gpu != 0 { throw OperationFailure(.EOPNOTSUPP) }
  }

  public func store(
    _ span: ByteSpan, _ bytes: [UInt8], byGPU gpu: Int
  ) async throws(OperationFailure) {
    try only(gpu)
    try await store(span, bytes, by: .device)
  }

  public func load(_ span: ByteSpan, byGPU gpu: Int) async throws(OperationFailure) -> [UInt8] {
    try only(gpu)
    return try await load(span, by: .device)
  }

  public func migrate(
    _ span: PageSpan, to side: MemorySide, gpu: Int, explains: Bool, _ stayed: inout [StayedPages]
  ) async throws(OperationFailure) -> Int {
    try only(gpu)
    if explains { return try await migrate(span, to: side, stayed: &stayed) }
    return try await migrate(span, to: side)
  }

  public func suspend(gpu: Int) async throws(OperationFailure) {
    try only(gpu)
    try await suspend()
  }

  public func resume(gpu: Int) async throws(OperationFailure) {
    try only(gpu)
    try await resume()
  }

  public func trim(gpu: Int) async throws(OperationFailure) {
    try only(gpu)
    try await trim()
  }

  public func teardown(gpu: Int) async throws(OperationFailure) {
    try only(gpu)
    try await teardown()
  }

  public func counter(_ name: String, gpu: Int) -> UInt64? { gpu == 0 ? counter(name) : nil }
}
