// swift-tools-version: 6.3
import PackageDescription

/// One set of rules for every Swift module: language mode 6, strict memory safety, no warnings.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

/// Kernels stay optimised in debug builds: unoptimised they are 45 times slower.
let optimised: [CSetting] = [
    .unsafeFlags(["-O3", "-fno-math-errno", "-Wall", "-Wextra", "-Werror"])
]

let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let swiftASN1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")

/// A module of Martlet.
func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// The tests of a module, which may use all that it uses.
func tests(of name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

let package = Package(
    name: "martlet",
    platforms: [.macOS("26.0")],
    products: [.executable(name: "martlet", targets: ["martlet"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(
            url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // Pure: numbers.
        .target(
            name: "CKernels", cSettings: optimised,
            linkerSettings: [.linkedLibrary("m", .when(platforms: [.linux]))]),
        module("Tensors", ["CKernels"]),
        module("MoE", ["Tensors"]),
        module("Inference", ["MoE", "Tensors"]),
        module("LocalSGD", ["Tensors"]),
        .systemLibrary(
            name: "CZstd", path: "Sources/CZstd", pkgConfig: "libzstd",
            providers: [.apt(["libzstd-dev"]), .brew(["zstd"])]),
        module("Codec", ["CZstd", "LocalSGD", "Tensors", nioCore]),
        // Pure: bytes.
        module("Wire", ["CKernels", nioCore, protobuf]),
        // Effects.
        module(
            "Cluster",
            ["Wire", crypto, logging, nioCore, nioPosix, nioSSL, nioTLS, swiftASN1, x509]),
        module("Storage", ["CKernels", "Tensors"]),
        module(
            "Roles",
            ["Cluster", "Codec", "LocalSGD", "MoE", "Tensors", "Wire", logging, nioCore]),
        module(
            "Status",
            [
                "Wire", logging, nioCore, nioHTTP1, nioPosix, protobuf,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ]),
        // The composition root.
        .executableTarget(
            name: "martlet",
            dependencies: [
                "Cluster", "Codec", "Inference", "LocalSGD", "MoE", "Roles", "Status", "Storage",
                "Tensors", "Wire", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: strict),
        // Tests.
        tests(of: "Tensors", ["Tensors"]),
        tests(of: "MoE", ["MoE", "Storage", "Tensors"]),
        tests(of: "Inference", ["Inference", "MoE", "Storage", "Tensors"]),
        tests(of: "LocalSGD", ["LocalSGD", "Tensors"]),
        tests(of: "Codec", ["Codec", "LocalSGD", "Tensors", nioCore]),
        tests(of: "Wire", ["CKernels", "Wire", nioCore]),
        tests(
            of: "Cluster",
            ["Cluster", "Wire", crypto, logging, nioCore, nioPosix, nioSSL, nioTLS, x509]),
        tests(of: "Storage", ["Storage", "Tensors"], exclude: ["Python"]),
        tests(
            of: "Roles",
            ["Cluster", "Codec", "LocalSGD", "Roles", "Tensors", "Wire", logging, nioCore]),
        tests(of: "Status", ["Status", "Wire", logging, nioCore, nioPosix]),
        tests(of: "Tidy", []),
        tests(
            of: "martlet",
            [
                "Cluster", "LocalSGD", "MoE", "Roles", "Status", "Storage", "Tensors", "Wire",
                "martlet", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        tests(of: "EndToEnd", ["Status", "Wire", "martlet"]),
    ]
)
