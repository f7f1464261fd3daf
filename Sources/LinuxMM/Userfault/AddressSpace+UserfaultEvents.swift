import Base
import KernelRuntime

extension AddressSpace {
  /// The parts of a range whose descriptors asked for an event.
  func watchedParts(
    of range: VirtualRange, _ event: Userfault.Features
  ) -> [(watch: Userfault, part: VirtualRange)] {
    mappings.compactMap { vma in
      guard let watch = vma.userfault, watch.features.contains(event),
        let part = vma.range.intersection(range)
      else { return nil }
      return (watch, part)
    }
  }

  /// Tells the handlers that pages of a range will be dropped (`userfaultfd_remove`): what they
  /// fill from now on is not lost.
  ///
  /// LOCKING: without `mmapLock`.
  func announceRemoval(_ range: VirtualRange) async {
    for (watch, part) in watchedParts(of: range, .eventRemove) {
      await watch.post(.remove(part))
    }
  }

  /// Tells the handler that a mapping has moved (`mremap_userfaultfd_complete`).
  ///
  /// LOCKING: without `mmapLock`.
  func announceMove(_ watch: Userfault?, from: VirtualRange, to: VirtualAddress) async {
    guard let watch, watch.features.contains(.eventRemap) else { return }
    await watch.post(.remap(from: from, to: to))
  }

  /// Gives a child's mapping a descriptor like the parent's, when the parent's handler asked for
  /// that (`dup_userfaultfd`).
  func inheritUserfault(_ copy: VMA, from vma: VMA) {
    guard let watch = vma.userfault, watch.features.contains(.eventFork) else { return }
    let child: Userfault
    if let known = inheritedWatches.first(where: { $0.parent === watch }) {
      child = known.child
    } else {
      child = Userfault(self, watch.features)
      inheritedWatches.append((watch, child))
    }
    copy.userfault = child
    copy.flags.formUnion(vma.flags.intersection(.userfault))
  }
}
