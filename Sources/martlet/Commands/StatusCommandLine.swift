import ArgumentParser
import Status
import Wire

struct StatusCommandLine: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Shows how a run is doing.")

    @OptionGroup var selection: RunSelection

    @Flag(help: "Print JSON, one line per status.")
    var json = false

    @Flag(help: "Go on until the run ends.")
    var follow = false

    func run() async throws {
        let client = try await selection.client()
        guard follow else {
            show(try await client.fetch())
            return
        }
        var drawn = 0
        let redraws = !json && Terminal.outputIsTerminal
        try await client.follow { answer in
            if redraws { Terminal.print(drawn == 0 ? "" : "\u{1B}[\(drawn)A\r\u{1B}[J") }
            drawn = show(answer)
        }
    }

    /// Prints one status.
    ///
    /// Returns the number of lines.
    @discardableResult
    private func show(_ answer: StatusAnswer) -> Int {
        if json {
            Terminal.printLine(answer.json)
            return 1
        }
        let width = Terminal.columns ?? StatusTable.defaultWidth
        let text = StatusTable.text(of: answer.status, width: width)
        Terminal.print(text)
        return text.count(where: \.isNewline)
    }
}
