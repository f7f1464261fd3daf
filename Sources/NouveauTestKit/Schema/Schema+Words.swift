import Base
import KernelRuntime

// Words that more than one key allows.
extension Schema {
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
    SchemaChoice("device", "a device-private page"),
    SchemaChoice("migrating", "a migration entry"),
  ]

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
    SchemaChoice("pages-to-ram", "pages that migrated back to system memory since the start"),
    SchemaChoice("device-faults", "CPU faults on device pages since the start"),
    SchemaChoice("minor-faults", "CPU faults served without a device, since the start"),
    SchemaChoice("migrations", "calls of migrate_vma_setup since the start"),
    SchemaChoice("copies", "pages copied by a copy engine since the start"),
    SchemaChoice("clears", "pages cleared by a copy engine since the start"),
    SchemaChoice("launches", "launches of a copy engine since the start"),
    SchemaChoice("chunks", "chunks of device memory that exist now"),
    SchemaChoice("device-pages", "device pages in use now"),
    SchemaChoice("free-device-pages", "device pages on the free list now"),
    SchemaChoice("rss", "pages of all processes that count as resident now, device pages too"),
    SchemaChoice("dma-mappings", "DMA mappings of system pages that exist now"),
    SchemaChoice("fences-pending", "fences that have not signalled yet"),
  ]
}
