@testable import Falcon

/// A core without an engine that runs one snippet of code at a time.
struct CoreHarness {
  let core: FalconCore
  let memory = FlatMemory()

  init(_ source: String, configuration: FalconConfiguration = .pcopy) throws {
    let program = try FalconAssembler.assemble(source, file: "snippet")
    core = FalconCore(configuration: configuration, memory: memory)
    core.upload(code: program.code, data: program.data)
  }

  /// Runs from address 0 until something stops it.
  @discardableResult
  func run(_ cycles: UInt64 = 100_000) -> FalconRunState {
    core.hostWrite(2, to: FalconRegister.control.rawValue)
    return core.run(cycles: cycles)
  }

  func setData(_ words: [UInt32], at address: UInt32 = 0) {
    core.hostWrite(1 << 24 | address, to: FalconRegister.dataIndex.rawValue)
    for word in words { core.hostWrite(word, to: FalconRegister.dataData.rawValue) }
  }

  func data(at address: UInt32, count: Int = 1) -> [UInt32] {
    core.hostWrite(1 << 25 | address, to: FalconRegister.dataIndex.rawValue)
    return (0..<count).map { _ in core.hostRead(FalconRegister.dataData.rawValue) }
  }

  func register(_ number: Int) -> UInt32 { core.generalRegisters[number] }
}
