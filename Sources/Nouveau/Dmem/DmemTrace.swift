package import KernelRuntime

extension TraceKind {
  package static let dmemChunk = TraceKind("dmem.chunk", ["pfn", "vram"])
  package static let dmemFault = TraceKind("dmem.fault", ["va", "pfn", "pages"], shape: .span)
  package static let dmemBatch = TraceKind("dmem.batch", ["va", "pages", "moved"], shape: .span)
  package static let dmemEvict = TraceKind("dmem.evict", ["pfn", "pages", "left"], shape: .span)
  package static let dmemCopyFailed = TraceKind("dmem.copy_failed", ["va", "errno"])
  /// Pages came from another GPU's memory.
  package static let dmemPeerCopy = TraceKind(
    "dmem.peer_copy", ["va", "pages", "moved"], shape: .span)
  package static let dmemPeerFallback = TraceKind("dmem.peer_fallback", ["va", "pages", "errno"])
  /// A huge page of the device became base pages.
  package static let dmemFolioSplit = TraceKind("dmem.folio_split", ["pfn"])
  package static let dmemMapped = TraceKind("dmem.mapped", ["va", "pages"])
}
