import Base
import DeviceSeam
import LinuxMM

/// Pages of system memory that hold a buffer object's bytes while the device sleeps.
struct SystemBacking {
  /// The object's page, and the system page with its bytes; in order.
  private(set) var pages: [(index: Int, pfn: PFN)] = []

  /// A page for each page of `runs`; `ENOMEM` with none kept when there are not enough.
  init(_ mm: MemoryManager, _ runs: [Range<Int>]) throws(KernelError) {
    do throws(KernelError) {
      for run in runs {
        for index in run { pages.append((index, try mm.allocatePage())) }
      }
    } catch {
      release(mm)
      throw error
    }
  }

  func release(_ mm: MemoryManager) {
    for page in pages { mm.put(page.pfn) }
  }
}
