import ArgumentParser

/// The command `nouveau`.
@main
struct NouveauCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nouveau",
    abstract: "Runs nouveau's device memory path on a machine that is all model.",
    discussion: """
      The driver migrates pages of processes to the memory of an emulated GPU and
      back, over a model of Linux's memory management. No GPU, no kernel module
      and no root is needed.

      EXAMPLES
        nouveau demo                        A narrated run on real bytes.
        nouveau run docs/scenarios/*.yaml   Scenario files: does all hold?
        nouveau sweep docs/scenarios/fault-around.yaml
                                            Every single failure: is it survived?
        nouveau explore docs/scenarios/m20-hot-page.yaml
                                            Many orders: does all hold in each?
        nouveau fences docs/scenarios/a2-fence-never-signals.yaml
                                            Fence timelines, and who waits for whom.
        nouveau bench                       Figures, with raw memcpy beside.
        nouveau generations                 Page-table walks of three API generations.
        nouveau schema                      Every key of scenario files.
        nouveau devices                     This machine's NVIDIA boards, read only.
        nouveau firmware verify             Microcode: is it what its sources build?
        nouveau fuzz                        Damaged inputs: does anything trap?
      """,
    subcommands: [
      DemoCommand.self, RunCommand.self, SweepCommand.self, ExploreCommand.self,
      ReplayCommand.self, MergeCommand.self, BenchCommand.self, SchemaCommand.self,
      DevicesCommand.self, FirmwareCommand.self, FencesCommand.self, GenerationsCommand.self,
      FuzzCommand.self,
    ])
}
