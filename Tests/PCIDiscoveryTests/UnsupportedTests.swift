#if !PCIAccess
  import Foundation
  import PCIDiscovery
  import Testing

  @Test func withoutTheLibrary_theMachineIsRefusedAndFilesAreRead() throws {
    #expect(!LiveMachine.isSupported)
    let said = message { _ = try DevicesCommand().run(in: .thisMachine) }
    #expect(said.contains("this build has no libpciaccess") && said.contains("--from"))
    var command = DevicesCommand()
    command.from = Recordings.folder.appending(path: "t4.json").path
    #expect(try command.run(in: .thisMachine).contains("TU104 (Turing)"))
  }
#endif
