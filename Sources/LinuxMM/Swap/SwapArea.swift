import Base

/// What is kept of one slot of swap space.
struct SwapSlot: BitwiseCopyable {
  /// Page-table entries that name the slot (`swap_map`).
  var entries: Int32
  /// The page that holds the same bytes, or will once they are read; 0 for none (`SWAP_HAS_CACHE`).
  var page: UInt32
  /// Where the page belongs for the reverse map: it keeps its place while it is swapped out.
  var place: AnonymousPlace
  /// A slot in use: the number of the group that it is charged to. A free slot: the next free one.
  var link: UInt32
}

/// Swap space of slots of one page each, and the table from a page to its slot
/// (`swap_info_struct`, the swap cache).
///
/// Slot 0 is the header and never handed out, so that 0 can mean none.
/// INVARIANT: a slot is in use while entries name it or a page caches it.
final class SwapArea {
  let slots: FlatView<SwapSlot>
  private let slotBuffer: FlatBuffer<SwapSlot>
  /// The slot of each system page that is in the swap cache; 0 for none.
  private let slotOfPage: FlatBuffer<UInt32>
  let ofPage: FlatView<UInt32>
  /// The bytes of slot `s` at `s * 4096`.
  let memory: MappedMemory
  private var untouched = 1
  private var free = 0
  /// Slots in use.
  private(set) var used = 0
  /// Set by `swapoff`: no page goes out any more.
  var isClosing = false

  /// `ENOMEM` when the host refuses the address space.
  init(pages: Int, systemPages: Int) throws(KernelError) {
    memory = try MappedMemory(count: (pages + 1) << PageSize.shift)
    slotBuffer = FlatBuffer(
      count: pages + 1, zero: SwapSlot(entries: 0, page: 0, place: .none, link: 0))
    slots = FlatView(slotBuffer)
    slotOfPage = FlatBuffer(count: systemPages, zero: 0)
    ofPage = FlatView(slotOfPage)
  }

  /// Slots that can be handed out in all.
  var capacity: Int { slots.count - 1 }
  var available: Int { isClosing ? 0 : capacity - used }

  /// A free slot; nil when swap space is full or being closed (`folio_alloc_swap`).
  func take() -> Int? {
    if isClosing { return nil }
    let slot: Int
    if free != 0 {
      slot = free
      free = Int(slots[slot].link)
    } else {
      guard untouched < slots.count else { return nil }
      slot = untouched
      untouched += 1
    }
    slots[slot] = SwapSlot(entries: 0, page: 0, place: .none, link: 0)
    used += 1
    return slot
  }

  /// Takes back a slot that nobody names or caches.
  func give(_ slot: Int) {
    invariant(
      slots[slot].entries == 0 && slots[slot].page == 0, "swap slot \(slot) freed while in use")
    slots[slot] = SwapSlot(entries: 0, page: 0, place: .none, link: UInt32(free))
    free = slot
    used -= 1
  }

  /// The free slots below the first that was never used, for audits.
  func freeSlots() -> [Int] {
    var found: [Int] = []
    var next = free
    while next != 0 && found.count <= capacity {
      found.append(next)
      next = Int(slots[next].link)
    }
    return found
  }

  /// Slots handed out at least once.
  var touched: Range<Int> { 1..<untouched }
}
