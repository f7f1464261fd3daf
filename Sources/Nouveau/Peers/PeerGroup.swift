/// The drivers of one machine's GPUs, which know each other's device memory.
///
/// Each keeps an owner of its own, so that the core never hands one's pages to another by mistake
/// (R23); what one does with another's pages, it does by asking here who that is.
public final class PeerGroup {
  /// In the order in which their drivers were bound.
  private(set) var members: [Dmem] = []

  public init() {}

  func join(_ dmem: Dmem) { members.append(dmem) }

  func leave(_ dmem: Dmem) { members.removeAll { $0 === dmem } }

  /// The others, whose pages may be asked for.
  func peers(of dmem: Dmem) -> [Dmem] { members.filter { $0 !== dmem } }
}
