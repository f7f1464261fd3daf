import Testing

/// As `#expect(throws:)`, for an asynchronous body that stays on the machine's own executor.
func expectThrows<E: Error & Equatable, T>(
  _ expected: E, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> T
) async {
  do {
    _ = try await body()
    Issue.record("\(expected) was not thrown", sourceLocation: sourceLocation)
  } catch {
    #expect(error as? E == expected, sourceLocation: sourceLocation)
  }
}
