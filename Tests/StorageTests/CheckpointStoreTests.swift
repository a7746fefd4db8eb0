import Foundation
import Storage
import Tensors
import Testing

@Suite struct CheckpointStoreTests {
    private func store(_ folder: TemporaryFolder, _ numbers: UInt64...) throws -> CheckpointStore {
        for number in numbers {
            try writeSmallCheckpoint(to: folder.path(CheckpointStore.name(number)))
        }
        return CheckpointStore(path: folder.path)
    }

    private func damage(_ folder: TemporaryFolder, _ number: UInt64) throws {
        let name = CheckpointStore.name(number) + "/martlet/run.json"
        try folder.write("?", to: name)
    }

    @Test func namesSortLikeNumbers() {
        #expect(CheckpointStore.name(123) == "checkpoint-000123")
        #expect(CheckpointStore.name(1_234_567) == "checkpoint-1234567")
    }

    @Test func findsTheNewestThatIsSound() throws {
        let folder = try TemporaryFolder()
        let store = try store(folder, 2, 10, 1_234_567)
        try folder.write("", to: "checkpoint-12/config.json")  // not one of our names
        try folder.write("", to: "notes.txt")
        #expect(try store.entries().map(\.number) == [2, 10, 1_234_567])
        var newest = try store.newest()
        #expect(newest.checkpoint?.path == folder.path("checkpoint-1234567"))
        #expect(newest.refused.isEmpty)

        try damage(folder, 1_234_567)
        newest = try store.newest()
        #expect(newest.checkpoint?.path == folder.path("checkpoint-000010"))
        #expect(newest.refused.map(\.code) == [.corrupt])

        // One whose resume files are gone is not one to resume from.
        try FileManager.default.removeItem(atPath: folder.path("checkpoint-000010/martlet"))
        newest = try store.newest()
        #expect(newest.checkpoint?.path == folder.path("checkpoint-000002"))
        #expect(newest.refused.count == 2)
    }

    @Test func isEmptyWhereThereIsNoFolder() throws {
        let folder = try TemporaryFolder()
        let store = CheckpointStore(path: folder.path("none"))
        #expect(try store.entries() == [])
        #expect(try store.partials() == [])
        #expect(try store.newest().checkpoint == nil)
        #expect(try store.prune(keeping: 1) == [])
    }

    @Test func ignoresAndReportsPartialOnes() throws {
        let folder = try TemporaryFolder()
        let store = try store(folder, 1)
        let writer = try store.begin(
            2, layout: smallLayout, documents: smallDocuments, resume: [])
        #expect(try store.entries().map(\.number) == [1])
        #expect(try store.partials().count == 1)
        try store.removePartials()
        #expect(try store.partials() == [])
        #expect(try store.newest().checkpoint?.path == folder.path("checkpoint-000001"))
        _ = writer
    }

    @Test func prunesAllButTheNewestSound() throws {
        let folder = try TemporaryFolder()
        let store = try store(folder, 1, 2, 3, 4, 5)
        try damage(folder, 4)
        try damage(folder, 1)
        // 5 and 3 are whole; 4 lies between; 2 is older, and so is what is left of 1.
        #expect(try store.prune(keeping: 2).map(\.number) == [1, 2])
        #expect(
            try folder.names() == ["checkpoint-000003", "checkpoint-000004", "checkpoint-000005"])
        #expect(try store.prune(keeping: 3) == [])
        #expect(try store.prune(keeping: 2) == [])
    }

    @Test func resolvesAFolderACheckpointAndLatest() throws {
        let folder = try TemporaryFolder()
        _ = try store(folder, 7, 8)
        let newest = folder.path("checkpoint-000008")
        #expect(try CheckpointStore.resolve(folder.path).path == newest)
        #expect(try CheckpointStore.resolve(folder.path("latest")).path == newest)
        let older = folder.path("checkpoint-000007")
        #expect(try CheckpointStore.resolve(older).path == older)
        #expect(try CheckpointStore.resolve(older + "/").path == older + "/")
        #expect(try code { _ = try CheckpointStore.resolve(folder.path("none")) } == .missing)
        try damage(folder, 7)
        try damage(folder, 8)
        #expect(try code { _ = try CheckpointStore.resolve(folder.path) } == .corrupt)
        let empty = try TemporaryFolder()
        #expect(try code { _ = try CheckpointStore.resolve(empty.path("latest")) } == .missing)
    }
}
