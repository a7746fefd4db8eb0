import Tensors

/// The key that lists a local cluster's workers.
extension ConfigurationKey {
    static let workersMax = 64

    static func workers(
        _ name: String, _ path: ConfigurationPath<[WorkerSection]>, _ summary: String
    ) -> ConfigurationKey {
        ConfigurationKey(
            name: name,
            allowed: "a number of workers from 1 to \(workersMax), or a list of {name, throttle "
                + "above 0 up to 1, threads from 1 to 256, dtype fp32 or bf16, recompute true or "
                + "false} with different names",
            summary: summary, acceptsList: true,
            assign: { configuration, value in
                guard let workers = parse(value) else { return false }
                configuration[keyPath: path] = workers
                return true
            },
            yaml: { "[" + $0[keyPath: path].map(yaml).joined(separator: ", ") + "]" })
    }

    private static func parse(_ value: ConfigurationValue) -> [WorkerSection]? {
        if let text = value.scalar {
            guard let count = Int(text), (1...workersMax).contains(count) else { return nil }
            return [WorkerSection](numbered: 1...count)
        }
        guard case .list(let items) = value.content, (1...workersMax).contains(items.count) else {
            return nil
        }
        let workers = items.compactMap(parseOne)
        let names = Set(workers.map(\.name))
        return workers.count == items.count && names.count == workers.count ? workers : nil
    }

    private static func parseOne(_ value: ConfigurationValue) -> WorkerSection? {
        guard case .mapping(let pairs) = value.content else { return nil }
        var worker = WorkerSection(name: "")
        for pair in pairs {
            guard let text = pair.value.scalar else { return nil }
            switch pair.key {
            case "name":
                worker.name = text
            case "throttle":
                guard let share = Double(text), Bounds.above(0, to: 1).contains(share) else {
                    return nil
                }
                worker.throttle = share
            case "threads":
                guard let count = Int(text), (1...256).contains(count) else { return nil }
                worker.threads = count
            case "dtype":
                guard let precision = Precision(rawValue: text) else { return nil }
                worker.precision = precision
            case "recompute":
                guard let recomputes = Bool(text) else { return nil }
                worker.recomputes = recomputes
            default: return nil
            }
        }
        return isNodeName(worker.name) ? worker : nil
    }

    private static func yaml(_ worker: WorkerSection) -> String {
        "{name: \(quoted(worker.name)), throttle: \(plain(worker.throttle)), "
            + "threads: \(worker.threads), dtype: \(worker.precision.rawValue), "
            + "recompute: \(worker.recomputes)}"
    }
}

/// Whether `text` can name a node or a run.
func isNodeName(_ text: String) -> Bool {
    let letters = text.utf8
    guard let first = letters.first, letters.count <= 63, first != UInt8(ascii: "-") else {
        return false
    }
    return letters.allSatisfy {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: "-")
    }
}
