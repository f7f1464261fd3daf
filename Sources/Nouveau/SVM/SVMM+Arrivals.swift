import Base
import KernelRuntime
package import LinuxMM

/// A batch on its way to the device, and what the core has changed in its range meanwhile.
///
/// The batch's pages are locked until they are mapped on the GPU, but that keeps nobody from taking
/// their entries away: `MADV_DONTNEED` takes a migration entry as it takes any other, and needs the
/// mmap lock for reading only, as a migration does. The notice of it is all that the driver learns
/// (R50), and a page that was taken away must get no translation: it goes to somebody else.
package final class Arrival {
  let range: VirtualRange
  /// Whose pages are collected, as the notice of the migration says.
  private let owner: PagemapOwner
  /// What was invalidated since the batch was collected, by others than the driver itself.
  ///
  /// LOCKING: svmm mutex.
  fileprivate(set) var changed: [VirtualRange] = []

  fileprivate init(_ range: VirtualRange, _ owner: PagemapOwner) {
    self.range = range
    self.owner = owner
  }

  /// Whether an event changes a place of the batch. Those of migrations of the same pages don't:
  /// what the batch has collected is locked.
  fileprivate func isChanged(by event: NotifierEvent) -> Bool {
    range.overlaps(event.range) && !(event.kind == .migrate && event.owner === owner)
  }
}

extension SVMM {
  /// Watches a range from before its collection on; sleeps while it is being changed.
  // QUIRK(nouveau): the kernel maps what has moved without a look at the sequence.
  package func expect(_ range: VirtualRange, of owner: PagemapOwner) async -> Arrival {
    if let notifier { _ = await notifier.readBegin() }
    let arrival = Arrival(range, owner)
    arrivals.append(arrival)
    return arrival
  }

  /// Ends what ``expect(_:of:)`` began.
  package func forget(_ arrival: Arrival) { arrivals.removeAll { $0 === arrival } }

  /// A part of the address space is about to change.
  ///
  /// LOCKING: svmm mutex held.
  func noteChange(_ event: NotifierEvent) {
    for arrival in arrivals where arrival.isChanged(by: event) {
      arrival.changed.append(event.range)
    }
  }
}

extension Arrival {
  /// `runs`, which begin at the range's first page, without the pages that have changed.
  ///
  /// LOCKING: svmm mutex held.
  func unchanged(of runs: [GPUPTERun]) -> [GPUPTERun] {
    var runs = runs
    for part in changed {
      let first = max(part.start, range.start).page - range.start.page
      let end = (min(part.end, range.end) + (PageSize.bytes - 1)).page - range.start.page
      runs = runs.flatMap { run in
        [run.part(from: run.start, to: Int(first)), run.part(from: Int(end), to: .max)]
          .compactMap { $0 }
      }
    }
    return runs
  }
}
