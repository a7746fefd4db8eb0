import Status
import Testing
import Wire

@Suite struct MetricsTests {
    /// Reads the text format strictly: HELP, TYPE, then the samples of that name, each once.
    @Test func textFollowsTheFormat() throws {
        var status = exampleStatus()
        status.name = "quo\"te\\back\nline"
        let text = Metrics.text(of: status)
        #expect(text.hasSuffix("\n"))
        var declared: Set<String> = []
        var current = ""
        var samples: Set<String> = []
        for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("# HELP ") {
                current = String(line.split(separator: " ")[2])
                #expect(declared.insert(current).inserted, "\(current) is declared twice")
            } else if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ")
                #expect(String(words[2]) == current)
                #expect(["gauge", "counter"].contains(words[3]))
                #expect((words[3] == "counter") == current.hasSuffix("_total"))
            } else {
                let sample = try #require(
                    line.wholeMatch(of: #/([a-z_]+)(\{.*\})? ([-0-9.e+]+)/#), "bad line: \(line)")
                #expect(String(sample.1) == current)
                #expect(Double(sample.3) != nil)
                let series = "\(sample.1)\(sample.2 ?? "")"
                #expect(samples.insert(series).inserted, "\(series) is there twice")
            }
        }
        #expect(samples.contains("martlet_round"))
        #expect(samples.contains("martlet_active_experts{layer=\"1\"}"))
        #expect(samples.contains("martlet_member_up{name=\"worker-1\",role=\"worker\"}"))
        #expect(text.contains("run=\"quo\\\"te\\\\back\\nline\""))
    }

    @Test func figuresThatAreNotKnownAreLeftOut() {
        let text = Metrics.text(of: Martlet_V1_RunStatus())
        #expect(!text.contains("martlet_train_loss"))
        #expect(text.contains("martlet_round 0.0\n"))
    }
}
