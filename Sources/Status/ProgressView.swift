package import Wire

/// What `martlet up` shows while a run goes on: a block that is drawn over itself on a terminal,
/// one line per round or every few seconds elsewhere.
package struct ProgressView: Sendable {
    package enum Surface: Sendable, Equatable {
        /// `columns` letters wide; understands the usual control sequences.
        case terminal(columns: Int)
        /// A pipe or a file: no control characters.
        case plain
    }

    /// Shortest and longest time between two plain lines, in seconds of run time.
    package static let plainInterval = (shortest: 2.0, longest: 15.0)

    private var linesDrawn = 0
    private var told: (round: UInt64, seconds: Double)?
    private var memberStates: [String: Martlet_V1_Member.State] = [:]

    package init() {}

    /// The letters to write for a new status; empty if there is nothing to say.
    package mutating func update(
        _ status: Martlet_V1_RunStatus, on surface: Surface
    ) -> String {
        let notices = notices(in: status)
        switch surface {
        case .terminal(let columns):
            let above = notices.map { $0 + "\n" }.joined()
            return erase() + above + draw(block(of: status, columns: columns))
        case .plain:
            let line = isDue(status) ? line(of: status) + "\n" : ""
            return notices.map { $0 + "\n" }.joined() + line
        }
    }

    /// The letters that take the block away, before other text is printed.
    package mutating func erase() -> String {
        defer { linesDrawn = 0 }
        return linesDrawn == 0 ? "" : "\u{1B}[\(linesDrawn)A\r\u{1B}[J"
    }

    /// Leaves the block where it is; what is printed next comes below it.
    package mutating func leave() { linesDrawn = 0 }

    private mutating func draw(_ lines: [String]) -> String {
        linesDrawn = lines.count
        return lines.map { $0 + "\n" }.joined()
    }

    // MARK: Plain lines

    private mutating func isDue(_ status: Martlet_V1_RunStatus) -> Bool {
        guard status.state != .starting, status.hasTrainLoss || status.hasHeldOutLoss else {
            return false
        }
        if let told {
            let passed = status.elapsedSeconds - told.seconds
            let isNewRound = status.round > told.round && passed >= Self.plainInterval.shortest
            let isLast = status.state.isFinal && status.round > told.round
            guard isNewRound || isLast || passed >= Self.plainInterval.longest else { return false }
        }
        told = (status.round, status.elapsedSeconds)
        return true
    }

    private func line(of status: Martlet_V1_RunStatus) -> String {
        var parts = [StatusTable.roundText(status)]
        if status.hasTrainLoss { parts.append("train \(Figures.loss(status.trainLoss))") }
        if status.hasHeldOutLoss { parts.append("held out \(Figures.loss(status.heldOutLoss))") }
        if status.hasActiveExperts {
            parts.append("experts \(Figures.fixed(status.activeExperts, digits: 2))")
        }
        let workers = status.members.filter { $0.role == .worker && $0.state.isPresent }
        let speeds = workers.map { Figures.count($0.tokensPerSecond) }.joined(separator: " + ")
        parts.append("tokens/s \(speeds)")
        parts.append(StatusTable.trafficText(status))
        if status.hasRemainingSeconds, !status.state.isFinal {
            parts.append("\(Figures.duration(status.remainingSeconds)) left")
        }
        return parts.joined(separator: "  ")
    }

    // MARK: The block

    private func block(of status: Martlet_V1_RunStatus, columns: Int) -> [String] {
        let columns = max(columns, 20)
        var lines = [bar(of: status, columns: columns)]
        lines.append("loss     \(StatusTable.lossText(status))")
        if let masks = StatusTable.masksText(status) {
            // Last what may be cut off.
            lines.append("experts  \(masks); by layer \(StatusTable.layersText(status))")
        }
        lines.append(
            "total    \(Figures.count(status.tokensPerSecond)) tokens/s, "
                + "\(Figures.count(status.tokens)) tokens, \(StatusTable.trafficText(status))")
        for member in status.members where member.role == .worker {
            lines.append(workerLine(member))
        }
        // A line that wraps would be counted as one and leave its rest behind.
        return lines.map { String($0.prefix(columns - 1)) }
    }

    private func bar(of status: Martlet_V1_RunStatus, columns: Int) -> String {
        let total = max(status.roundsTotal, 1)
        let share = min(Double(status.round) / Double(total), 1)
        var right = " \(StatusTable.roundText(status)) \(status.state.label)"
        if status.hasRemainingSeconds, !status.state.isFinal {
            right += ", \(Figures.duration(status.remainingSeconds)) left"
        }
        let cells = max(0, min(40, columns - right.count - 3))
        let filled = Int((share * Double(cells)).rounded(.down))
        return "[" + String(repeating: "#", count: filled)
            + String(repeating: ".", count: cells - filled) + "]" + right
    }

    private func workerLine(_ member: Martlet_V1_Member) -> String {
        let name = member.name + String(repeating: " ", count: max(1, 9 - member.name.count))
        guard member.state.isPresent else { return name + member.state.label }
        var line =
            "\(name)\(Figures.count(member.tokensPerSecond)) tokens/s, "
            + "round \(member.round), step \(member.stepsInRound)"
        if member.throttle > 0, member.throttle < 1 {
            line += ", throttled to \(Figures.fixed(member.throttle * 100, digits: 0)) %"
        }
        if member.state != .active { line += ", \(member.state.label)" }
        return line
    }

    // MARK: Notices

    /// Lines for members that came or went since the last status.
    private mutating func notices(in status: Martlet_V1_RunStatus) -> [String] {
        var notices: [String] = []
        for member in status.members where member.role != .coordinator {
            let title = member.title
            let old = memberStates.updateValue(member.state, forKey: title)
            switch (old?.isPresent ?? false, member.state.isPresent) {
            case (false, true): notices.append("\(title) joined")
            case (true, false) where member.state == .lost:
                notices.append(
                    "\(title) is lost" + (member.role == .worker ? "; the run goes on" : ""))
            case (true, false): notices.append("\(title) left")
            default: break
            }
        }
        return notices
    }
}
