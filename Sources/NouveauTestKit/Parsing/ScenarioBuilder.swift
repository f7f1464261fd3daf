import Base
import KernelRuntime

/// Makes the model from a checked tree: resolves names, bounds pages by their mapping, fills in
/// what was left out. Collects what is wrong and goes on with a harmless stand-in.
struct ScenarioBuilder {
  let file: String
  let readFile: ScenarioParser.FileReader
  private(set) var diagnostics: [ScenarioDiagnostic] = []
  var scope = NameScope()
  var mappings: [MappingPlan] = []
  var gpuCount = 1

  init(file: String, readFile: @escaping ScenarioParser.FileReader) {
    self.file = file
    self.readFile = readFile
  }

  mutating func report(_ mark: SourceMark, _ problem: String, remedy: String) {
    diagnostics.append(ScenarioDiagnostic(mark, problem, remedy: remedy))
  }

  mutating func scenario(_ object: CheckedObject) -> Scenario {
    let machine = machine(object["machine"]?.object)
    gpuCount = machine.gpuCount
    let processes = object.required("processes").list.map { process($0.object) }
    if mappings.isEmpty {
      report(object.required("processes").mark, "no mapping", remedy: "add one to a process")
    }
    let steps = steps(object.required("steps"), prefix: "")
    return Scenario(
      name: object.required("scenario").text, summary: object.required("summary").text,
      covers: object["covers"]?.list.map(\.text) ?? [],
      reaches: object["reaches"]?.list.compactMap { MigrationMark(rawValue: $0.text) } ?? [],
      machine: machine, processes: processes, steps: steps, file: file)
  }

  private func machine(_ object: CheckedObject?) -> MachinePlan {
    var plan = MachinePlan()
    guard let object else { return plan }
    if let profile = object["profile"] {
      (plan.profile, plan.profileMark) = (profile.text, profile.mark)
    }
    if let ram = object["ram"] { plan.ramBytes = ram.number }
    if let vram = object["vram"] { plan.vramBytes = vram.number }
    if let policy = object["policy"] { plan.policy = policy.text }
    plan.batchPages = object["batch"].map { Int($0.number) }
    plan.keptChunks = object["kept-chunks"].map { Int($0.number) }
    if let swap = object["swap"] { plan.swapBytes = swap.number }
    plan.memoryLimit = object["memory-limit"]?.number
    if let choice = object["out-of-memory"] { plan.killsWhenOutOfMemory = choice.text == "kill" }
    if let huge = object["huge-pages"] { plan.hugePages = huge.text }
    plan.hasHugeFolios = object["huge-device-pages"]?.flag ?? false
    plan.unifiedWalkTries = object["unified-walk"].map { Int($0.number) } ?? 0
    plan.gpuCount = object["gpus"].map { Int($0.number) } ?? 1
    if let peers = object["peers"] { plan.peers = peers.text }
    if let engine = object["peer-engine"] { plan.peerEngine = engine.text }
    plan.hasPeerAccess = object["peer-access"]?.flag ?? true
    if let seed = object["seed"] { plan.seed = seed.number }
    if let mode = object["mode"] { plan.isRealTime = mode.text == "real-time" }
    if let order = object["order"] { plan.order = MachinePlan.Order(rawValue: order.text) ?? .fifo }
    return plan
  }

  private mutating func process(_ object: CheckedObject) -> ProcessPlan {
    let name = declare(.process, object.required("name"))
    var own: [MappingPlan] = []
    for item in object.required("mappings").list {
      let plan = mapping(item.object, of: name)
      own.append(plan)
      mappings.append(plan)
    }
    return ProcessPlan(name: name, mappings: own)
  }

  private mutating func mapping(_ object: CheckedObject, of process: String) -> MappingPlan {
    MappingPlan(
      name: declare(.mapping, object.required("name")), process: process,
      pageCount: Int(object.required("size").number / UInt64(PageSize.bytes)),
      protection: protection(object["protection"]),
      kind: object["kind"].flatMap { MappingKind(rawValue: $0.text) } ?? .anonymous)
  }

  // MARK: names and pages

  mutating func declare(_ kind: NameKind, _ name: Checked) -> String {
    if let earlier = scope.declare(kind, name.text, at: name.mark) {
      report(
        name.mark,
        "the \(kind.rawValue) '\(name.text)' is already defined in line \(earlier.line)",
        remedy: "give it another name")
    }
    return name.text
  }

  mutating func resolve(_ kind: NameKind, _ name: Checked) -> String {
    if !scope.contains(kind, name.text) {
      report(
        name.mark, "no \(kind.rawValue) '\(name.text)' is defined before this line",
        remedy: NearestName.remedy(
          for: name.text, in: scope.names(of: kind), what: "\(kind.rawValue)"))
    }
    return name.text
  }

  /// The pages under `key`, or all of the mapping; reports pages behind its end.
  mutating func pageSpan(_ object: CheckedObject, key: String = "pages") -> PageSpan {
    let name = resolve(.mapping, object.required("mapping"))
    guard let plan = mappings.first(where: { $0.name == name }) else {
      return PageSpan(mapping: name, pages: PageRange(0, 0))
    }
    guard let pages = object[key] else { return PageSpan(mapping: name, pages: plan.allPages) }
    return PageSpan(mapping: name, pages: bounded(pages, plan))
  }

  mutating func bounded(_ pages: Checked, _ plan: MappingPlan) -> PageRange {
    guard pages.pages.last < plan.pageCount else {
      report(
        pages.mark, "\(pages.pages) reaches past the end of '\(plan.name)'",
        remedy: "its pages are \(plan.allPages)")
      return plan.allPages
    }
    return pages.pages
  }

  /// The pages of a named mapping, for the keys of a table.
  mutating func pageSpan(mapping: Checked, pages: Checked) -> PageSpan {
    let name = resolve(.mapping, mapping)
    guard let plan = mappings.first(where: { $0.name == name }) else {
      return PageSpan(mapping: name, pages: PageRange(0, 0))
    }
    return PageSpan(mapping: name, pages: bounded(pages, plan))
  }

  /// `count` bytes at `at`; reports bytes behind the mapping's end.
  mutating func byteSpan(_ object: CheckedObject, at: Checked, count: Int) -> ByteSpan {
    let name = resolve(.mapping, object.required("mapping"))
    let offset = at.offset.bytes
    if let plan = mappings.first(where: { $0.name == name }),
      offset > plan.allPages.byteCount - count
    {
      report(
        at.mark, "\(count) bytes at \(at.offset) reach past the end of '\(name)'",
        remedy: "its pages are \(plan.allPages), \(plan.allPages.byteCount) bytes")
      return ByteSpan(mapping: name, offset: 0, count: count)
    }
    return ByteSpan(mapping: name, offset: offset, count: count)
  }

  // MARK: words

  func protection(_ word: Checked?) -> ScenarioProtection {
    word.flatMap { ScenarioProtection(rawValue: $0.text) } ?? .readWrite
  }

  func accessor(_ object: CheckedObject) -> Accessor {
    object["by"].flatMap { Accessor(rawValue: $0.text) } ?? .cpu
  }

  func littleEndian(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
  }
}
