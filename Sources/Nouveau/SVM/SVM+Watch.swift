extension SVM {
  /// Runs `body`, in which a process's work is on the GPU and may fault. Until it ends, the process
  /// doesn't leave the device.
  ///
  /// A fault is announced by one interrupt, and until the buffer was read no other comes: if that
  /// one is lost, nothing else says that an access waits. So while work is under way the driver
  /// looks by itself, after 2 ms, 4 ms, … 1 s, for 15 s at most.
  // QUIRK(nouveau): the kernel doesn't look; the work then stands until any other interrupt.
  func run<T>(of svmm: SVMM, _ body: () async -> T) async -> T {
    let watch = nouveau.copyChannel.fences
    svmm.beginWork()
    watch.beginWatch()
    let result = await body()
    watch.endWatch()
    svmm.endWork()
    return result
  }
}
