// swift-tools-version: 6.2
import PackageDescription

// The manifest is data: one row a module, and one loop that gives every module the same settings.
// Rows stand in the order of docs/architecture.md; a module may import modules of earlier rows only.

struct Module {
  var name: String
  var needs: [String] = []
  var products: [Target.Dependency] = []
  var tests: [String] = []
}

let modules: [Module] = [
  Module(name: "Base"),
  Module(
    name: "KernelRuntime", needs: ["Base"],
    products: [
      .product(name: "DequeModule", package: "swift-collections"),
      .product(name: "HeapModule", package: "swift-collections"),
    ]),
  Module(name: "DeviceSeam", needs: ["Base", "KernelRuntime"]),
]

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

var targets: [Target] = []
for module in modules {
  targets.append(
    .target(
      name: module.name,
      dependencies: module.needs.map { .target(name: $0) } + module.products,
      swiftSettings: settings))
  if !module.tests.isEmpty {
    targets.append(
      .testTarget(
        name: module.name + "Tests",
        dependencies: (module.needs + [module.name] + module.tests).map { .target(name: $0) },
        swiftSettings: settings))
  }
}

let package = Package(
  name: "nouveau-dmem",
  products: modules.map { .library(name: $0.name, targets: [$0.name]) },
  dependencies: [
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0")
  ],
  targets: targets
)
