import KernelRuntime

extension NouveauDevice {
  /// Cuts the references by which channels, buffers and clients keep each other and the machine
  /// alive, for a machine that goes without a shutdown, as under the explorer after each run.
  ///
  /// Nothing is undone, and nothing of the driver may be used afterwards.
  package func abandon() {
    clients = []
    fifo.abandon()
    buffers.abandon()
  }
}

extension SVM {
  /// As ``NouveauDevice/abandon()``, with device memory and the processes that use it.
  package func abandon() {
    for svmm in processes.all { svmm.forgetNotifier() }
    dmem.leavePeers()
    nouveau.abandon()
  }
}

extension FIFO {
  fileprivate func abandon() {
    reinitialize = nil
    resetBAR1 = nil
    forgetChannels()
  }
}
