import Testing

@testable import Falcon

@Test func table_hasNoTwoRowsForOneWord() {
  for (index, row) in FalconEncoding.table.enumerated() {
    for other in FalconEncoding.table.dropFirst(index + 1)
    where row.isSized == other.isSized && row.mask & other.mask & (row.match ^ other.match) == 0 {
      Issue.record("\(row.mnemonic) and \(other.mnemonic) share \(row.match) and \(other.match)")
    }
  }
}
