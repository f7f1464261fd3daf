public import EmulatedGPU
public import Nouveau

/// One GPU of a machine, with the driver that is bound to it.
public final class MachineGPU {
  /// Its number: its place in ``Machine/gpus``.
  public let index: Int
  /// The board in the slot; another one after ``Machine/replaceBoard(gpu:)``.
  public internal(set) var gpu: EmulatedGPU
  /// The driver; nil before ``Machine/boot()`` and after ``Machine/shutdown()``.
  public internal(set) var driver: NouveauDevice?
  /// Its device memory and the processes that use it; nil with the driver.
  public internal(set) var svm: SVM?

  init(_ index: Int, _ gpu: EmulatedGPU) {
    self.index = index
    self.gpu = gpu
  }

  /// Before lines of an audit that are about this GPU; nothing for the first.
  var prefix: String { index == 0 ? "" : "gpu \(index): " }
}
