import Foundation

/// Output of the command: results to standard output, the rest to standard error.
enum Terminal {
  static func print(_ text: String) {
    FileHandle.standardOutput.write(Data(text.utf8))
  }

  static func complain(_ text: String) {
    FileHandle.standardError.write(Data(text.utf8))
  }

  /// Whether somebody watches: progress is for terminals only; a pipe gets results alone.
  static var isWatched: Bool { isatty(STDERR_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 }

  /// Replaces the progress line; an empty text removes it.
  static func progress(_ text: String) {
    guard isWatched else { return }
    complain("\r\u{1b}[K" + text)
  }
}
