import Testing

@testable import NouveauTestKit

/// What a child's shadow copy allows when stores race with its fork.
@Suite struct ShadowForkTests {
  /// Whether one byte may be read from the copy.
  private func allows(_ byte: UInt8, _ shadow: ShadowCopy) -> Bool {
    shadow.end(shadow.beginRead(0..<1), got: [byte]) == nil
  }

  private func store(_ byte: UInt8, _ shadow: ShadowCopy) {
    shadow.end(shadow.beginWrite(0..<1, [byte]), succeeded: true)
  }

  @Test func child_beginsWithTheParentsBytes_andKeepsItsOwn() throws {
    let parent = try ShadowCopy(byteCount: 4096)
    store(1, parent)
    let child = try parent.beginFork()
    parent.endFork(child)
    store(2, parent)
    #expect(allows(1, child) && !allows(2, child) && !allows(0, child))
    store(3, child)
    #expect(allows(2, parent) && !allows(3, parent) && !allows(1, child))
  }

  @Test func storesDuringTheFork_mayBeInTheChild_orNot() throws {
    let parent = try ShadowCopy(byteCount: 4096)
    store(1, parent)
    let early = parent.beginWrite(0..<1, [2])
    let child = try parent.beginFork()
    parent.end(early, succeeded: true)
    store(3, parent)
    parent.endFork(child)
    store(4, parent)
    #expect(allows(1, child) && allows(2, child) && allows(3, child))
    #expect(!allows(4, child) && !allows(0, child))
    #expect(allows(4, parent) && !allows(1, parent))
  }
}
