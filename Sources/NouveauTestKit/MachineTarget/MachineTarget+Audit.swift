import LinuxMM
import Machine

extension MachineTarget {
  public func quiesce() async { await machine.quiesce() }

  public func audit() -> [String] {
    let pinned = pins.reduce(0) { $0 + ($1?.pages.pfns.count ?? 0) }
    return machine.audit(heldPages: pinned)
  }

  public func abandon() {
    processes = []
    mappings = []
    pins = []
    machine.abandon()
  }
}
