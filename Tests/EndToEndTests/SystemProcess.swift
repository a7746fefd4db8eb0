import Foundation

/// A process of this machine, as the kernel shows it.
struct SystemProcess: Sendable {
    let id: Int32
    let parent: Int32
    let arguments: [String]

    /// The processes that `parent` has started and that still live.
    static func children(of parent: Int32) -> [SystemProcess] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap(Int32.init).compactMap(SystemProcess.init(id:))
            .filter { $0.parent == parent }
    }

    /// Whether the process is still there, and still the same.
    var isAlive: Bool { SystemProcess(id: id)?.arguments == arguments }

    /// Nil for a process that has ended, reaped or not.
    private init?(id: Int32) {
        // pid (name) state parent ...; the name may hold anything, also parentheses.
        let status = text(at: "/proc/\(id)/stat")
        guard let close = status.lastIndex(of: ")") else { return nil }
        let fields = status[status.index(after: close)...].split(separator: " ")
        guard fields.count > 1, fields[0] != "Z", fields[0] != "X", let parent = Int32(fields[1])
        else { return nil }
        self.id = id
        self.parent = parent
        arguments = text(at: "/proc/\(id)/cmdline").split(separator: "\0").map(String.init)
    }
}
