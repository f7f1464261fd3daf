import Base
public import LinuxMM

extension FlowRun {
  /// Audits a machine's memory when nothing is in flight: one offence for each count, list or entry
  /// that isn't what the page tables say, and for each page in use that nobody maps or pins.
  ///
  /// For drivers without a machine of the kit's own, which has an audit of its own.
  /// - Parameter heldPages: pages that the caller knows to be held.
  public func audit(_ mm: MemoryManager, heldPages: Int = 0) {
    do throws(KernelError) {
      let audit = try mm.audit(isQuiet: true)
      for problem in audit.problems { offend("audit.mm", problem) }
      expect(
        audit.unmapped.count <= heldPages, "audit.leak",
        "\(audit.unmapped.count) pages belong to nobody, \(heldPages) are known to be held")
    } catch {
      offend("audit.impossible", "\(error)")
    }
  }
}
