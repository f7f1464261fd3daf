import Base
import KernelRuntime
import LinuxMM

// Words that more than one key allows.
extension Schema {
  /// Moments that an order may reach.
  static let marks = MigrationMark.allCases.map { SchemaChoice($0.rawValue, $0.meaning) }

  static let maximumMapping: UInt64 = 1 << 30
  static let pageBytes = UInt64(PageSize.bytes)

  static let sides = [
    SchemaChoice("cpu", "by loads and stores of the process, which may fault"),
    SchemaChoice("device", "by the GPU, where the page lies"),
  ]

  static let protections = [
    SchemaChoice("none", "no access"),
    SchemaChoice("read", "loads only"),
    SchemaChoice("read-write", "loads and stores"),
  ]

  static let mappingKinds = [
    SchemaChoice("anonymous", "private memory without a file"),
    SchemaChoice("shared", "shared memory without a file, which a child sees too; never migrates"),
    SchemaChoice("private-file", "a file of zeros; a page that was stored to is a private copy"),
    SchemaChoice("shared-file", "a file of zeros; stores reach the file; never migrates"),
  ]

  static let advices = [
    SchemaChoice("dontneed", "the pages go; private memory reads as zeros again"),
    SchemaChoice("free", "the pages may go until the next store to them"),
    SchemaChoice("cold", "reclaim may take them first"),
    SchemaChoice("pageout", "out to swap now"),
    SchemaChoice("huge", "huge pages are welcome"),
    SchemaChoice("no-huge", "no huge pages"),
    SchemaChoice("collapse", "into huge pages now"),
    SchemaChoice("lock", "kept in memory (mlock)"),
    SchemaChoice("unlock", "no longer kept (munlock)"),
  ]

  static let patterns = [
    SchemaChoice("index", "each 64-bit word holds a mix of its own offset: no two words are equal"),
    SchemaChoice("page-number", "each byte holds the low byte of its page's number"),
    SchemaChoice("ones", "every bit set"),
    SchemaChoice("zeros", "every bit clear"),
  ]

  static let contents = [
    SchemaChoice("shadow", "what the shadow copy says: the last bytes written, else zero"),
    SchemaChoice("zeros", "every bit clear"),
    SchemaChoice("anything", "not checked"),
  ]

  static let locations = [
    SchemaChoice("none", "no entry: never touched, or unmapped"),
    SchemaChoice("zero", "the shared zero page"),
    SchemaChoice("ram", "a page of system memory"),
    SchemaChoice("device", "a device-private page, of the first GPU where there are several"),
    SchemaChoice("gpu1", "a device-private page of GPU 1, the second"),
    SchemaChoice("gpu2", "a device-private page of GPU 2"),
    SchemaChoice("gpu3", "a device-private page of GPU 3"),
    SchemaChoice("migrating", "a migration entry"),
    SchemaChoice("swap", "swap space"),
    SchemaChoice("poison", "a mark that the page's bytes are lost"),
  ]

  /// Why a page stayed in a migration.
  static let reasons: [SchemaChoice] =
    [SchemaChoice("none", "the page moved")]
    + MigrationReason.Kind.allCases.map { SchemaChoice($0.rawValue, $0.summary) }

  /// What a step may come back with: success, a signal, or a kernel error.
  static let outcomes: [SchemaChoice] =
    [
      SchemaChoice("none", "success"),
      SchemaChoice("any", "whatever comes, success too"),
      SchemaChoice("SIGSEGV", "the access is not allowed or nothing is mapped"),
      SchemaChoice("SIGBUS", "the access can't be served"),
      SchemaChoice("OOM", "no memory for the access"),
    ] + KernelError.named.map { SchemaChoice($0.name, "the call returns this error") }

  static let errorNames = KernelError.named.map { SchemaChoice($0.name, "this kernel error") }

  static let points = InjectionPoint.all.map { SchemaChoice($0.name, $0.summary) }

  /// Counters that a scenario can expect something of.
  static let counters = [
    SchemaChoice("pages-to-device", "pages that migrated to the device since the start"),
    SchemaChoice("pages-to-ram", "pages that came back by faults and evictions since the start"),
    SchemaChoice("device-faults", "CPU faults that the driver was asked to serve since the start"),
    SchemaChoice("failed-faults", "of these, those that ended in SIGBUS"),
    SchemaChoice("minor-faults", "CPU faults served without a device, since the start"),
    SchemaChoice("clears", "of the pages that migrated to the device, those without a source"),
    SchemaChoice("copy-failures", "pages whose copy failed or timed out; they kept their place"),
    SchemaChoice("lost", "pages whose bytes went with a dead device"),
    SchemaChoice("huge-pages-to-device", "huge pages that moved to the device as one"),
    SchemaChoice("huge-pages-to-ram", "huge pages that came back as one"),
    SchemaChoice(
      "huge-page-splits", "huge pages that went as base pages, for want of a whole place"),
    SchemaChoice("pages-from-peers", "of the pages that migrated to a GPU, those from another's"),
    SchemaChoice("peer-fallbacks", "copies between two GPUs that had to go through RAM"),
    SchemaChoice(
      "walk-retries", "tries of a unified walk that a change of the range made vain"),
    SchemaChoice("launches", "launches of a copy engine by the driver since the start"),
    SchemaChoice("chunks", "chunks of device memory that exist now"),
    SchemaChoice("device-pages", "device pages in use now"),
    SchemaChoice("free-device-pages", "device pages of existing chunks that are free now"),
    SchemaChoice("rss", "pages of all processes that count as resident now, device pages too"),
    SchemaChoice("charged", "pages charged to the processes' memory limit now, device pages too"),
    SchemaChoice("kills", "processes killed for their memory, since the start"),
    SchemaChoice("free-ram-pages", "system pages that are free now"),
    SchemaChoice("dma-mappings", "DMA mappings of system pages that exist now"),
    SchemaChoice("bad-unmaps", "unmappings that no DMA mapping matched, since the start"),
  ]
}
