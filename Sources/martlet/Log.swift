import FoundationEssentials
import Logging

/// Where log lines go: to standard error, which `martlet up` collects in one file per process.
enum Log {
    /// Sets the log level from `MARTLET_LOG`: trace, debug, info (the default), warning, error.
    static func bootstrap() {
        let level = ProcessInfo.processInfo.environment["MARTLET_LOG"].flatMap {
            Logger.Level(rawValue: $0)
        }
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = level ?? .info
            return handler
        }
    }
}
