import Foundation
import Status

/// Standard output and standard error.
///
/// Writes are not buffered; a reader that has gone away is no error.
enum Terminal {
    static var outputIsTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// How progress may be shown on standard output.
    static var surface: ProgressView.Surface {
        outputIsTerminal ? .terminal(columns: columns ?? 80) : .plain
    }

    /// Letters per line of the terminal, if standard output is one.
    static var columns: Int? {
        var size = winsize()
        // The one pointer here: there is no other way to ask.
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
            return nil
        }
        return Int(size.ws_col)
    }

    static func print(_ text: String) {
        try? FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
    }

    static func printLine(_ text: String) { print(text + "\n") }

    /// A remark beside the result, which therefore stays out of standard output.
    static func printNote(_ text: String) { printToError("\(text)\n") }

    static func printToError(_ text: String) {
        try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
    }

    static func printError(_ message: String) { printNote("martlet: error: \(message)") }
}
