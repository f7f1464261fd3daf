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
    switch by {
    case .cpu:
      try await accessing { () throws(AccessError) in
        try await place.process.space.store(address, bytes)
      }
    case .device:
      do throws(DeviceAccessError) {
        try await place.process.deviceStore(address, bytes)
      } catch {
        throw Self.failure(error)
      }
    }
  }

  public func load(_ span: ByteSpan, by: Accessor) async throws(OperationFailure) -> [UInt8] {
    let place = try place(span.mapping)
    let address = place.range.start + span.offset
    switch by {
    case .cpu:
      return try await accessing { () throws(AccessError) in
        try await place.process.space.load(address, count: span.count)
      }
    case .device:
      do throws(DeviceAccessError) {
        return try await place.process.deviceLoad(address, count: span.count)
      } catch {
        throw Self.failure(error)
      }
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
    let place = try place(span.mapping)
    let process = place.process
    let range = place.range(span.pages)
    return try await calling { () throws(KernelError) in
      switch side {
      case .ram: return try await process.migrateToRAM(range)
      case .device:
        let result = try await process.migrateToDevice(range)
        if let error = result.error { throw error }
        return result.moved
      }
    }
  }

  public func migrate(_ span: PageSpan, to side: MemorySide, stayed: inout [StayedPages])
    async throws(OperationFailure) -> Int
  {
    guard side == .device else { return try await migrate(span, to: side) }
    let place = try place(span.mapping)
    let range = place.range(span.pages)
    let result = try await calling { () throws(KernelError) in
      try await place.process.migrateToDevice(range, explains: true)
    }
    for part in result.stayed {
      let first = span.pages.first + VirtualRange(range.start, part.range.start).pages
      stayed.append(
        StayedPages(
          PageRange(first, first + part.range.pages - 1), reason: part.reason.kind.rawValue,
          detail: part.reason.description))
    }
    if let error = result.error { throw OperationFailure(error) }
    return result.moved
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

  // MARK: the device

  public func suspend() async throws(OperationFailure) {
    guard let driver = machine.driver else { throw OperationFailure(.ENODEV) }
    try await calling { () throws(KernelError) in try await driver.suspend() }
  }

  public func resume() async throws(OperationFailure) {
    guard let driver = machine.driver else { throw OperationFailure(.ENODEV) }
    try await calling { () throws(KernelError) in try await driver.resume() }
  }

  public func trim() async throws(OperationFailure) {
    _ = await (try requireSVM()).trim(keeping: 0)
  }

  public func teardown() async throws(OperationFailure) {
    let svm = try requireSVM()
    await machine.unbindDriver()
    lastCounters = svm.dmemCounters
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
