import Base
public import KernelRuntime
import LinuxMM
import Machine
import Nouveau

extension MachineTarget: ScenarioTarget {
  public var kernel: Kernel { machine.kernel }

  public func run(_ body: @escaping () async -> Void) throws(RunFailure) {
    try machine.run { _ in await body() }
  }

  public func start() async throws(OperationFailure) {
    try await calling { () throws(KernelError) in try await machine.boot() }
  }

  public func addProcess(_ name: String) async throws(OperationFailure) {
    let process = try await calling { () throws(KernelError) in
      try await machine.makeProcess(name)
    }
    processes.append((name, process))
  }

  public func map(_ plan: MappingPlan) async throws(OperationFailure) {
    let process = try process(plan.process)
    // A page behind each mapping stays free, so that running past an end is found.
    let last = mappings.last { $0.place.process === process }?.place.range.end
    let at = last.map { $0 + PageSize.bytes }
    let bytes = UInt64(plan.allPages.byteCount)
    let start = try await calling { () throws(KernelError) in
      try await map(plan, process.space, bytes, at)
    }
    let range = VirtualRange(start: start, bytes: bytes)
    mappings.append((plan.name, MappingPlace(process: process, range: range)))
  }

  // MARK: memory

  public func store(_ span: ByteSpan, _ bytes: [UInt8], by: Accessor)
    async throws(OperationFailure)
  {
    let place = try place(span.mapping)
    let address = place.range.start + span.offset
    guard by == .cpu else { return try await store(span, bytes, byGPU: 0) }
    try await accessing { () throws(AccessError) in
      try await place.process.space.store(address, bytes)
    }
  }

  public func load(_ span: ByteSpan, by: Accessor) async throws(OperationFailure) -> [UInt8] {
    let place = try place(span.mapping)
    let address = place.range.start + span.offset
    guard by == .cpu else { return try await load(span, byGPU: 0) }
    return try await accessing { () throws(AccessError) in
      try await place.process.space.load(address, count: span.count)
    }
  }

  public func touch(_ span: PageSpan, write: Bool) async throws(OperationFailure) {
    let place = try place(span.mapping)
    for page in span.pages.pages {
      let address = place.address(page: page)
      try await accessing { () throws(AccessError) in
        try await place.space.touch(address, write: write)
      }
    }
  }

  public func migrate(_ span: PageSpan, to side: MemorySide) async throws(OperationFailure) -> Int {
    var nothing: [StayedPages] = []
    return try await migrate(span, to: side, gpu: 0, explains: false, &nothing)
  }

  public func migrate(_ span: PageSpan, to side: MemorySide, stayed: inout [StayedPages])
    async throws(OperationFailure) -> Int
  {
    try await migrate(span, to: side, gpu: 0, explains: true, &stayed)
  }

  public func protect(_ span: PageSpan, _ protection: ScenarioProtection)
    async throws(OperationFailure)
  {
    let place = try place(span.mapping)
    try await calling { () throws(KernelError) in
      try await place.space.protect(place.range(span.pages), Protection(protection))
    }
  }

  public func unmap(_ span: PageSpan) async throws(OperationFailure) {
    let place = try place(span.mapping)
    try await calling { () throws(KernelError) in
      try await place.space.unmap(place.range(span.pages))
    }
  }

  public func exit(process name: String) async throws(OperationFailure) {
    await (try process(name)).exit()
    mappings.removeAll { $0.place.process.name == name }
    processes.removeAll { $0.name == name }
  }

  // MARK: references and locks

  public func pin(_ span: PageSpan, _ kind: PinKind) async throws(OperationFailure) -> Int {
    let place = try place(span.mapping)
    let pinned = try await accessing { () throws(AccessError) in
      try await place.space.pin(
        place.address(page: span.pages.first), pages: span.pages.count, write: kind.write,
        longTerm: kind.isLongTerm)
    }
    pins.append((place.space, pinned))
    return pins.count - 1
  }

  public func unpin(_ handle: Int) async throws(OperationFailure) {
    guard let (space, pages) = pins[handle] else { throw OperationFailure(.EBADF) }
    pins[handle] = nil
    space.unpin(pages)
  }

  public func hold(mapping: String, page: Int) async throws(OperationFailure) -> Int {
    let pfn: PFN
    let place = try place(mapping)
    switch place.space.entry(at: place.address(page: page)).location {
    case .ram(let frame), .device(let frame): pfn = frame
    default: throw OperationFailure(.ENOENT)
    }
    machine.mm.get(pfn)
    await machine.mm.lock(pfn)
    locks.append(pfn)
    return locks.count - 1
  }

  public func release(_ handle: Int) async throws(OperationFailure) {
    guard let pfn = locks[handle] else { throw OperationFailure(.EBADF) }
    locks[handle] = nil
    machine.mm.unlock(pfn)
    machine.mm.put(pfn)
  }

  // MARK: every device

  public func suspend() async throws(OperationFailure) {
    for slot in machine.gpus { try await suspend(gpu: slot.index) }
  }

  /// Each is asked; the first error counts.
  public func resume() async throws(OperationFailure) {
    var failure: OperationFailure?
    for slot in machine.gpus {
      do throws(OperationFailure) {
        try await resume(gpu: slot.index)
      } catch {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
  }

  public func trim() async throws(OperationFailure) {
    for slot in machine.gpus where slot.svm != nil || slot.index == 0 {
      try await trim(gpu: slot.index)
    }
  }

  public func teardown() async throws(OperationFailure) {
    let bound = machine.gpus.filter { $0.svm != nil }
    if bound.isEmpty { throw OperationFailure(.ENODEV) }
    for slot in bound { try await teardown(gpu: slot.index) }
  }
}

extension Protection {
  init(_ protection: ScenarioProtection) {
    switch protection {
    case .none: self = .none
    case .read: self = .read
    case .readWrite: self = .readWrite
    }
  }
}
