/// Values by page index, in order of index (`struct xarray`).
///
/// Most files grow at the end, so an insertion there costs nothing to speak of.
struct IndexedTable<Value> {
  private(set) var indices: [UInt64] = []
  private(set) var values: [Value] = []

  var count: Int { indices.count }
  var isEmpty: Bool { indices.isEmpty }

  /// The position of the first index that is not below `index`.
  private func position(_ index: UInt64) -> Int {
    var low = 0
    var high = indices.count
    while low < high {
      let middle = (low + high) / 2
      if indices[middle] < index { low = middle + 1 } else { high = middle }
    }
    return low
  }

  subscript(index: UInt64) -> Value? {
    get {
      let place = position(index)
      return place < indices.count && indices[place] == index ? values[place] : nil
    }
    set {
      let place = position(index)
      let isThere = place < indices.count && indices[place] == index
      switch (newValue, isThere) {
      case (let value?, true):
        values[place] = value
      case (let value?, false):
        indices.insert(index, at: place)
        values.insert(value, at: place)
      case (nil, true):
        indices.remove(at: place)
        values.remove(at: place)
      case (nil, false):
        break
      }
    }
  }

  /// The first value in `range`, with its index.
  func first(in range: Range<UInt64>) -> (index: UInt64, value: Value)? {
    let place = position(range.lowerBound)
    guard place < indices.count, indices[place] < range.upperBound else { return nil }
    return (indices[place], values[place])
  }

  /// Removes what `range` holds.
  mutating func removeAll(in range: Range<UInt64>) {
    let places = position(range.lowerBound)..<position(range.upperBound)
    indices.removeSubrange(places)
    values.removeSubrange(places)
  }
}
