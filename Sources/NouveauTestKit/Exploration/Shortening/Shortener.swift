import KernelRuntime

/// Takes out of a failing run what isn't needed for its offence: preemptions, other changes of
/// order, draws and failures.
///
/// SOURCE: A. Zeller, R. Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE TSE
/// 28(2), 2002 (ddmin). Decisions are held by their place in the story and not by their number
/// (``KernelRuntime/AnchoredChoices``), and after each success those that had no effect drop out by
/// themselves. Then pairs are tried, and last every run that differs from the plain order in a
/// single decision, as far as the bound on runs allows.
///
/// The result is the same for the same token. No part of it, and no two parts, can be left out when
/// the bound on runs wasn't met.
public struct Shortener {
  public struct Result: Sendable {
    public let token: ReplayToken
    /// The offence as the shortened run shows it.
    public let offence: Offence
    /// Runs spent.
    public let runs: Int
    /// The bound was met before nothing more could be taken out.
    public let isCutShort: Bool
  }

  private let runner: FlowRunner
  private let limit: Int

  public init(_ runner: FlowRunner, limit: Int = 1000) {
    self.runner = runner
    self.limit = limit
  }

  /// A run as short as can be found that has an offence with this name; nil when the token's own
  /// run hasn't.
  public func shorten(_ token: ReplayToken, keeping name: String) -> Result? {
    var search = ShorteningSearch(
      runner: runner, limit: limit, flow: token.flow, seed: token.schedule.seed, name: name)
    guard search.learn(token) else { return nil }
    search.reduceToPrefix()
    search.reduceByChunks()
    search.reduceByPairs()
    search.tryInsteadASingleDecision()
    guard let best = search.best else { return nil }
    return Result(
      token: best.token, offence: best.offence, runs: search.runs,
      isCutShort: search.runs >= limit)
  }
}
