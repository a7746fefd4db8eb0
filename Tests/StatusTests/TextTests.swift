import Status
import Testing
import Wire

@Suite struct TextTests {
    @Test(arguments: [
        (0.0, "0"), (950, "950"), (999.4, "999"), (999.6, "1.00k"), (12_345, "12.3k"),
        (123_456, "123k"), (4_560_000, "4.56M"), (-1, "-"), (.nan, "-"),
    ])
    func counts(_ value: Double, _ text: String) {
        #expect(Figures.count(value) == text)
    }

    @Test(arguments: [
        (0.44, "0.4s"), (12.4, "12s"), (59.6, "1m00s"), (185, "3m05s"), (7620, "2h07m"),
        (356_400, "4d03h"), (.infinity, "-"),
    ])
    func durations(_ seconds: Double, _ text: String) {
        #expect(Figures.duration(seconds) == text)
    }

    @Test func bytesAndFixedNumbers() {
        #expect(Figures.bytes(1536) == "1.50 KiB")
        #expect(Figures.bytes(950) == "950 B")
        #expect(Figures.fixed(-0.0004, digits: 3) == "0.000")
        #expect(Figures.fixed(-1.5, digits: 1) == "-1.5")
        #expect(Figures.fixed(2.005, digits: 0) == "2")
        #expect(Figures.percent(0.6144) == "61.4 %" && Figures.percent(0.02, digits: 0) == "2 %")
        #expect(Figures.difference(1.0205) == "+2.05 %")
        #expect(Figures.difference(0.987) == "-1.30 %" && Figures.difference(1) == "+0.00 %")
    }

    @Test func tableNamesEverything() {
        let text = StatusTable.text(of: exampleStatus())
        for word in [
            "run demo  training  round 17/60", "1m02s, about 2m10s left", "train 2.500",
            "held out 2.625 at round 16", "worker-2", "lost", "layers.0", "checkpoint-000010",
            "341.5 bytes/token up", "4.00k",
            "1.75 live per token, 12.5 % of tokens without", "  by layer  2.50 1.00\n",
        ] {
            #expect(text.contains(word), "\(word) is missing in\n\(text)")
        }
    }

    @Test func aRunThatLearnsNoMasksSaysNothingOfExperts() {
        var status = exampleStatus()
        status.clearActiveExperts()
        #expect(!StatusTable.text(of: status).contains("experts"))
        #expect(!Metrics.text(of: status).contains("active_experts"))
        var view = ProgressView()
        #expect(!view.update(status, on: .plain).contains("experts"))
    }

    @Test("Of a model of many layers nothing is cut off")
    func manyLayers() {
        var status = exampleStatus()
        status.masks = (0..<48).map { layer in
            var share = status.masks[0]
            share.activeExperts = Double(layer) / 8
            return share
        }
        let lines = StatusTable.text(of: status, width: 100).split(separator: "\n")
        #expect(lines.contains("experts     1.75 live per token, 12.5 % of tokens without"))
        let first = lines.firstIndex { $0.hasPrefix("  by layer  0.00 0.13 0.25 ") }
        let found = lines[(first ?? 0)..<(first ?? 0) + 3].joined(separator: " ")
        #expect(found.split(separator: " ").count == 48 + 2)
        #expect(found.hasSuffix(" 5.75 5.88"))
        var view = ProgressView()
        let block = view.update(status, on: .terminal(columns: 80))
        #expect(block.contains("12.5 % of tokens without; by layer 0.00 0.13 "))
    }

    @Test func eachModuleHasItsOwnVersion() throws {
        let lines = StatusTable.text(of: exampleStatus(), width: 200).split(separator: "\n")
        for (index, name) in ["embedding", "layers.0", "head"].enumerated() {
            let line = try #require(lines.first { $0.hasPrefix(name) })
            #expect(line.contains(" \(1017 + index) "))
            let json = "{\"name\":\"\(name)\",\"version\":\(1017 + index),"
            #expect(exampleStatus().json.contains(json))
        }
    }

    @Test(arguments: [20, 40, 60, 80, 100, 200])
    func tableKeepsToTheWidth(_ width: Int) {
        let lines = StatusTable.text(of: exampleStatus(), width: width).split(separator: "\n")
        #expect(lines.allSatisfy { $0.count <= width })
        #expect(lines.contains { $0.hasPrefix("worker-1") })
    }

    @Test func plainProgressHasNoControlCharacters() {
        var view = ProgressView()
        var status = exampleStatus()
        let first = view.update(status, on: .plain)
        #expect(first.contains("worker-1 joined\n"))
        #expect(first.contains("round 17/60  train 2.500  held out 2.625  experts 1.75  tokens/s"))
        #expect(first.contains("tokens/s 4.00k"))
        #expect(view.update(status, on: .plain) == "")
        status.round = 18
        status.elapsedSeconds += 0.5
        #expect(view.update(status, on: .plain) == "", "two rounds within two seconds: one line")
        status.elapsedSeconds += 2
        let line = view.update(status, on: .plain)
        #expect(line.hasPrefix("round 18/60"))
        #expect((first + line).unicodeScalars.allSatisfy { $0.value >= 32 || $0 == "\n" })
    }

    @Test func progressTellsWhoCameAndWent() {
        var view = ProgressView()
        var status = exampleStatus()
        _ = view.update(status, on: .plain)
        status.members[2].state = .lost
        status.members.append(member("laptop", .worker, .joining))
        let text = view.update(status, on: .plain)
        #expect(text.contains("worker-1 is lost; the run goes on\n"))
        #expect(text.contains("worker laptop joined\n"))
    }

    @Test(arguments: [20, 40, 80, 200])
    func blockIsDrawnOverItself(_ columns: Int) {
        var view = ProgressView()
        let surface = ProgressView.Surface.terminal(columns: columns)
        let first = view.update(exampleStatus(), on: surface)
        let second = view.update(exampleStatus(), on: surface)
        let lines = second.split(separator: "\n")
        #expect(!first.contains("\u{1B}"))
        #expect(second.hasPrefix("\u{1B}[\(lines.count)A\r\u{1B}[J"))
        #expect(lines.dropFirst().allSatisfy { $0.count < columns })
    }
}
