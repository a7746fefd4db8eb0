import Foundation
import Status
import Testing
import Wire

@Suite struct StatusJSONTests {
    @Test func readingGivesBackWhatWasWritten() throws {
        let status = exampleStatus()
        #expect(try Martlet_V1_RunStatus(json: status.json) == status)
        #expect(!status.json.contains("\n"))
    }

    @Test func emptyStatusReadsBackToo() throws {
        let status = Martlet_V1_RunStatus()
        #expect(try Martlet_V1_RunStatus(json: status.json) == status)
    }

    /// Every field of the schema is written, under its name; only `optional` ones may be missing.
    @Test func everyFieldOfTheSchemaIsThere() throws {
        let schema = try Schema()
        #expect(schema.fields.count > 5)
        let full = try object(exampleStatus().json)
        for field in schema.fields["RunStatus"] ?? [] {
            #expect(full[field.name] != nil, "\(field.name) is missing")
        }
        let empty = try object(Martlet_V1_RunStatus().json)
        for field in schema.fields["RunStatus"] ?? [] where !field.isOptional {
            #expect(empty[field.name] != nil, "\(field.name) is missing from an empty status")
        }
        let nested = [
            "Member": "members", "Module": "modules", "LossPoint": "history",
            "MaskShare": "masks",
        ]
        for (message, key) in nested {
            let objects = try #require(full[key] as? [[String: Any]])
            for field in schema.fields[message] ?? [] where !field.isOptional {
                #expect(objects[0][field.name] != nil, "\(message).\(field.name) is missing")
            }
        }
    }

    @Test func figuresThatAreNoNumbersAreLeftOut() throws {
        var status = exampleStatus()
        status.trainLoss = .nan
        status.heldOutLoss = .infinity
        let object = try object(status.json)
        #expect(object["train_loss"] == nil)
        #expect(object["held_out_loss"] == nil)
    }

    @Test func unknownFieldsAreSkipped() throws {
        let status = try Martlet_V1_RunStatus(json: "{\"round\": 3, \"from_the_future\": [1]}")
        #expect(status.round == 3)
    }

    @Test(arguments: ["", "{", "[]", "<html>", "{\"round\": -1}", "{\"round\": \"x\"}"])
    func otherTextIsRefused(_ text: String) {
        #expect(throws: StatusError.self) { try Martlet_V1_RunStatus(json: text) }
    }

    private func object(_ json: String) throws -> [String: Any] {
        let any = try JSONSerialization.jsonObject(with: Data(json.utf8))
        return try #require(any as? [String: Any])
    }

    /// The fields of each message, read from the schema itself.
    private struct Schema {
        var fields: [String: [(name: String, isOptional: Bool)]] = [:]

        init() throws {
            let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .resolvingSymlinksInPath().deletingLastPathComponent().deletingLastPathComponent()
            let file = root.appendingPathComponent("protos/martlet/status.proto")
            var message = ""
            var isInEnumeration = false
            for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
                let words = line.split(separator: " ").map(String.init)
                if words.first == "message" { message = words[1] }
                if words.first == "enum" { isInEnumeration = true }
                if words == ["}"] { isInEnumeration = false }
                guard !isInEnumeration, words.first != "//", let equals = words.firstIndex(of: "="),
                    equals > 1
                else { continue }
                fields[message, default: []].append(
                    (words[equals - 1], words[0] == "optional"))
            }
        }
    }
}
