import Testing

/// Each foreign thing has one home, and our own modules know each other in one direction only.
@Suite struct ImportTests {
    /// The modules of `Sources`, each with those of ours that it may import.
    ///
    /// They are all from further up: the order of the list is why there can be no cycle.
    static let modules: [(name: String, mayImport: Set<String>)] = [
        ("CKernels", []),
        ("CZstd", []),
        ("Tensors", ["CKernels"]),
        ("MoE", ["Tensors"]),
        ("Inference", ["MoE", "Tensors"]),
        ("LocalSGD", ["Tensors"]),
        ("Codec", ["CZstd", "LocalSGD", "Tensors"]),
        ("Wire", ["CKernels"]),
        ("Cluster", ["Wire"]),
        ("Storage", ["CKernels", "Tensors"]),
        ("Roles", ["Cluster", "Codec", "LocalSGD", "MoE", "Tensors", "Wire"]),
        ("Status", ["Wire"]),
        (
            "martlet",
            [
                "Cluster", "Codec", "Inference", "LocalSGD", "MoE", "Roles", "Status", "Storage",
                "Tensors", "Wire",
            ]
        ),
    ]

    /// Where a foreign module may be imported.
    static let homes: [String: Set<String>] = [
        // Cryptography and TLS.
        "Crypto": ["Cluster"], "NIOSSL": ["Cluster"], "NIOTLS": ["Cluster"],
        "SwiftASN1": ["Cluster"], "X509": ["Cluster"],
        // Sockets, and the buffers that pass through them.
        "NIOPosix": ["Cluster", "Status"],
        "NIOCore": ["Cluster", "Codec", "Roles", "Status", "Wire"],
        // HTTP.
        "AsyncHTTPClient": ["Status"], "HTTPTypes": ["Status"], "Hummingbird": ["Status"],
        "NIOHTTP1": ["Status"],
        // Messages. Status has their JSON.
        "SwiftProtobuf": ["Status", "Wire"],
        // The command line.
        "ArgumentParser": ["martlet"], "UnixSignals": ["martlet"], "Yams": ["martlet"],
        // Parts of Swift.
        "Dispatch": ["martlet"],
        // What the standard library keeps to itself: canonical composition of text.
        "Swift": ["Storage"],
        "Distributed": ["Cluster", "Roles", "martlet"],
        "FoundationEssentials": ["Cluster", "MoE", "Roles", "Status", "Storage", "martlet"],
        "Logging": ["Cluster", "Roles", "Status", "martlet"],
        "Synchronization": ["Cluster", "Roles", "Storage", "Tensors", "Wire", "martlet"],
    ]

    /// The operating system's own modules: the files that can't do without, and why.
    static let systemModules: [String: [String: String]] = [
        "Glibc": cLibrary,
        "Darwin": cLibrary,
        "Foundation": [
            "Sources/Storage/Files/Folder.swift": "where FoundationEssentials is not there",
            "Sources/martlet/Processes/StopRequests.swift": "the end of a pipe",
            "Sources/martlet/Terminal.swift": "standard output and error",
            "Sources/martlet/Up/Child.swift": "child processes",
        ],
    ]

    private static let cLibrary = [
        "Sources/Cluster/Identity/IdentityFile.swift": "files only their owner can read",
        "Sources/Inference/Sampler.swift": "exp",
        "Sources/LocalSGD/MaskSettings.swift": "exp",
        "Sources/MoE/Masking.swift": "log",
        "Sources/MoE/RopeScaling.swift": "pow and log",
        "Sources/MoE/Rotary.swift": "cos and sin",
        "Sources/Status/StatusClient.swift": "error numbers",
        "Sources/Storage/Files/File.swift": "read, write and sync of files",
        "Sources/Storage/Files/MappedFile.swift": "memory maps",
        "Sources/Storage/Files/SystemFailure.swift": "error numbers",
        "Sources/Tensors/Buffer.swift": "aligned memory",
        "Sources/martlet/Benchmarks/NormalNumbers.swift": "exp and log",
        "Sources/martlet/Martlet.swift": "signals and exit",
    ]

    @Test func everyImportIsAtHome() { expectNone(Package.swiftSources.flatMap(Self.strays)) }

    @Test func modulesAreThoseOfTheTable() {
        let found = Set(Package.files.compactMap(\.module))
        #expect(
            found == Set(Self.modules.map(\.name)),
            "enter a new module in ImportTests.modules, below all that it imports")
    }

    @Test func importsOnlyPointUpTheTable() {
        var above: Set<String> = []
        for module in Self.modules {
            #expect(module.mayImport.isSubset(of: above), "\(module.name) would close a cycle")
            above.insert(module.name)
        }
    }

    @Test func permissionsAreUsed() {
        let imports = Package.swiftSources.map { (file: $0, names: Set($0.imports.map(\.name))) }
        for (foreign, modules) in Self.homes {
            for module in modules {
                let isUsed = imports.contains {
                    $0.file.module == module && $0.names.contains(foreign)
                }
                #expect(isUsed, "\(module) no longer imports \(foreign): strike it out")
            }
        }
        for path in Self.systemModules.values.flatMap(\.keys) {
            let isUsed = imports.contains {
                $0.file.path == path && !$0.names.isDisjoint(with: Self.systemModules.keys)
            }
            #expect(isUsed, "\(path) no longer imports the system: strike it out")
        }
    }

    // MARK: The rule

    static func strays(of file: SourceText) -> [Finding] {
        guard let home = file.module else { return [] }
        let ours = modules.first { $0.name == home }?.mayImport ?? []
        let names = Set(modules.map(\.name))
        return file.imports.compactMap { name, line in
            let reason: String
            if names.contains(name) {
                if ours.contains(name) { return nil }
                reason = "\(home) must not know \(name); see ImportTests.modules"
            } else if let files = systemModules[name] {
                if files[file.path] != nil { return nil }
                reason = "\(name) is for listed files only; use FoundationEssentials, or move this"
            } else if let homes = homes[name] {
                if homes.contains(home) { return nil }
                let known = homes.sorted().joined(separator: " and ")
                reason = "\(name) lives in \(known); ask there instead of importing it in \(home)"
            } else {
                reason = "\(name) has no home yet; give it one in ImportTests.homes"
            }
            return Finding(file, line, reason)
        }
    }

    // MARK: The rule can fail

    @Test(arguments: [
        ("Sources/LocalSGD/A.swift", "package import Wire"),
        ("Sources/LocalSGD/A.swift", "internal import NIOCore"),
        ("Sources/Cluster/A.swift", "import struct LocalSGD.Lease"),
        ("Sources/MoE/A.swift", "import Foundation"),
        ("Sources/Roles/A.swift", "@preconcurrency import Glibc"),
        ("Sources/Wire/A.swift", "import Unheard"),
    ])
    func aStrayIsFound(_ path: String, _ text: String) {
        #expect(Self.strays(of: SourceText(path, "import Tensors\n" + text)).last?.line == 2)
    }
}

extension SourceText {
    /// The modules it imports.
    var imports: [(name: String, line: Int)] {
        let kinds: Set = ["struct", "class", "enum", "protocol", "func", "typealias", "let", "var"]
        return tokens.indices.compactMap { index in
            guard tokens[index].text == "import",
                index == 0 || !tokens[index - 1].text.hasSuffix(".")
            else { return nil }
            var next = index + 1
            if next < tokens.count, kinds.contains(tokens[next].text) { next += 1 }
            guard next < tokens.count, tokens[next].isWord else { return nil }
            return (tokens[next].text, tokens[index].line)
        }
    }
}
