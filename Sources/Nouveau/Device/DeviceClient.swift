package import Base

/// A part of the driver above the device core, such as device memory or SVM, that must act when the
/// device sleeps, wakes or goes.
package protocol DeviceClient: AnyObject {
  /// Before buffers are evicted, newest client first; the device still works. An error stops the
  /// suspend and those asked before are resumed.
  func suspend() async throws(KernelError)
  /// After the device works again, oldest client first; also after a suspend that failed.
  func resume() async throws(KernelError)
  /// The device can't be woken, for the reason given: whoever waits for it is told. It may be woken
  /// again.
  func resumeFailed(_ error: KernelError)
  /// The device is about to go, newest client first; gives everything back.
  func release() async
}

extension DeviceClient {
  package func resumeFailed(_ error: KernelError) {}
}
