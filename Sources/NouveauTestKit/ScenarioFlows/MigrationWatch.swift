import DMAFence
import KernelRuntime
import LinuxMM
import Nouveau

/// Reads a run's trace as it grows and tells the run which states and marks it reaches.
final class MigrationWatch {
  private unowned let run: FlowRun
  private var faults: [Span] = []
  private var evictions: [Span] = []
  private var batches: [Span] = []
  /// Pages that the migrations in progress have collected, by the task's row.
  private var collected: [(row: Int, pages: UInt64)] = []

  private struct Span {
    let row: Int
    let time: Range<UInt64>

    init(_ event: TraceEvent) {
      row = event.row.index
      time = event.time..<event.time + event.duration
    }
  }

  init(_ run: FlowRun) { self.run = run }

  func see(_ event: TraceEvent) {
    switch event.kind {
    case .migrateSetup: migrate(0, event)
    case .migrateCollect:
      migrate(1, event)
      collected.removeAll { $0.row == event.row.index }
      collected.append((event.row.index, event.c))
    case .migrateCommit:
      migrate(2, event)
      let taken = collected.first { $0.row == event.row.index }?.pages ?? 0
      if event.c < taken { mark(.commitRefused) }
    case .migrateFinalize: migrate(3, event)
    case .devicePageInit: run.enter(0, of: 1, object: event.a)
    case .devicePageFree: run.enter(1, of: 1, object: event.a)
    case .fenceEmit: run.enter(0, of: 2, object: event.a << 32 | event.b)
    case .fenceSignal: run.enter(event.c == 0 ? 1 : 2, of: 2, object: event.a << 32 | event.b)
    case .migrationEntryWait: mark(.waitOnEntry)
    case .dmemCopyFailed: mark(.copyFailed)
    case .ringWait: mark(.ringFull)
    case .migrateToRAM, .dmemEvict, .dmemBatch: span(event)
    default: return
    }
  }

  /// One task makes one migration of a range at a time.
  private func migrate(_ state: Int, _ event: TraceEvent) {
    run.enter(state, of: 0, object: event.a ^ UInt64(event.row.index) << 52)
  }

  private func mark(_ mark: MigrationMark) { run.mark(mark.rawValue) }

  /// A span is told at its end; whichever of two that overlap ends last finds the other.
  private func span(_ event: TraceEvent) {
    let span = Span(event)
    switch event.kind {
    case .migrateToRAM:
      if overlaps(span, evictions) { mark(.faultDuringEviction) }
      if overlaps(span, batches) { mark(.faultDuringMigration) }
      if overlaps(span, faults) { mark(.faultsAtOnce) }
      faults.append(span)
    case .dmemEvict:
      mark(.eviction)
      if overlaps(span, faults) { mark(.faultDuringEviction) }
      evictions.append(span)
    default:
      if overlaps(span, faults) { mark(.faultDuringMigration) }
      batches.append(span)
    }
  }

  private func overlaps(_ span: Span, _ others: [Span]) -> Bool {
    others.contains { $0.row != span.row && $0.time.overlaps(span.time) }
  }
}
