import NVHardware

/// SET_REMAP_COMPONENTS: how the components of an element are made.
struct Remap: BitwiseCopyable {
  /// Bytes of a component.
  let size: Int
  let sources: Int
  let targets: Int
  private let components: UInt32
  private let constA: UInt32
  private let constB: UInt32

  init(_ state: CopyState) {
    typealias C = ClassC0B5
    components = state.remapComponents
    size = Int(components >> 16 & 3) + 1
    sources = Int(components >> 20 & 3) + 1
    targets = Int(components >> 24 & 3) + 1
    constA = state.remapConstA
    constB = state.remapConstB
  }

  var sourceBytes: Int { size * sources }
  var targetBytes: Int { size * targets }

  /// What component `index` of the target takes.
  func selector(_ index: Int) -> UInt32 { components >> UInt32(4 * index) & 7 }

  /// The constant of a selector, in `size` bytes.
  func constant(_ selector: UInt32) -> UInt32 {
    selector == ClassC0B5.SET_REMAP_COMPONENTS_CONST_A ? constA : constB
  }

  private func all(_ test: (UInt32) -> Bool) -> Bool {
    for index in 0..<targets where !test(selector(index)) { return false }
    return true
  }

  /// Every component is a constant: a fill that reads nothing.
  var isFill: Bool { all { $0 == 4 || $0 == 5 } }
  /// No component comes from the source.
  var readsNothing: Bool { all { $0 >= 4 } }

  /// What is wrong with it, if anything.
  var error: LaunchError? {
    for index in 0..<targets {
      let selector = selector(index)
      if selector == 7 { return .INVALID_VALUE }
      if selector < 4, Int(selector) >= sources { return .BAD_SRC_PIXEL_COMP_REF }
    }
    return nil
  }

  /// One filled element.
  var fillElement: [UInt8] {
    var bytes: [UInt8] = []
    for index in 0..<targets {
      let value = constant(selector(index))
      for byte in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * byte))) }
    }
    return bytes
  }

  /// Makes whole elements of `target` from those of `source`; what isn't written keeps its value.
  func apply(_ source: [UInt8], to target: inout [UInt8]) {
    let elements = target.count / targetBytes
    for element in 0..<elements {
      for index in 0..<targets {
        let at = element * targetBytes + index * size
        let selector = selector(index)
        switch selector {
        case 0...3:
          let from = element * sourceBytes + Int(selector) * size
          for byte in 0..<size { target[at + byte] = source[from + byte] }
        case 4, 5:
          let value = constant(selector)
          for byte in 0..<size {
            target[at + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte))
          }
        default: break
        }
      }
    }
  }
}
