// swift-tools-version: 6.2
import PackageDescription

// The manifest is data: one row a module, and one loop that gives every module the same settings.
// Rows stand in the order of docs/architecture.md; a module may import modules of earlier rows.

struct Module {
  var name: String
  /// Modules of earlier rows.
  var needs: [String] = []
  /// Libraries from outside.
  var products: [Target.Dependency] = []
  /// What its tests need beside the module and its `needs`; nil for a module without tests.
  var tests: [String]? = []
  var isCommand = false
}

let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let modules: [Module] = [
  Module(name: "Base"),
  Module(name: "KernelRuntime", needs: ["Base"], products: [deque, heap]),
  Module(name: "DeviceSeam", needs: ["Base", "KernelRuntime"]),
  Module(name: "NVHardware", needs: ["Base"]),
  Module(name: "LinuxMM", needs: ["Base", "KernelRuntime"], products: [deque]),
  Module(
    name: "DMAFence", needs: ["Base", "KernelRuntime"], products: [deque],
    tests: ["NouveauTestKit"]),
  Module(name: "Falcon", needs: ["Base"]),
  Module(
    name: "Nouveau",
    needs: [
      "Base", "KernelRuntime", "DeviceSeam", "NVHardware", "LinuxMM", "DMAFence", "Falcon",
    ],
    products: [deque], tests: ["EmulatedGPU", "Machine", "NouveauTestKit"]),
  Module(
    name: "EmulatedGPU", needs: ["Base", "KernelRuntime", "DeviceSeam", "NVHardware", "Falcon"],
    products: [deque]),
  Module(
    name: "Machine",
    needs: [
      "Base", "KernelRuntime", "DeviceSeam", "LinuxMM", "DMAFence", "Nouveau", "EmulatedGPU",
    ], tests: ["NouveauTestKit"]),
  Module(
    name: "NouveauTestKit",
    needs: [
      "Base", "KernelRuntime", "DeviceSeam", "LinuxMM", "DMAFence", "Falcon", "Nouveau",
      "EmulatedGPU", "Machine",
    ],
    products: [yams, deque]),
  Module(name: "PCIDiscovery", needs: ["Base", "KernelRuntime", "DeviceSeam"]),
  Module(
    name: "Fuzzing",
    needs: [
      "Base", "KernelRuntime", "DeviceSeam", "NVHardware", "Falcon", "EmulatedGPU", "PCIDiscovery",
    ]),
  Module(
    name: "NouveauCLI",
    needs: [
      "Base", "KernelRuntime", "LinuxMM", "DMAFence", "Nouveau", "EmulatedGPU", "Machine",
      "NouveauTestKit", "PCIDiscovery", "Falcon", "Fuzzing",
    ],
    products: [arguments], tests: nil, isCommand: true),
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

// libpciaccess stands beside the rest, behind a trait: without it everything else still builds.
let pciTrait = "PCIAccess"
var targets: [Target] = [
  .systemLibrary(
    name: "CPCIAccess", pkgConfig: "pciaccess", providers: [.apt(["libpciaccess-dev"])])
]

for module in modules {
  var dependencies = module.needs.map { Target.Dependency.target(name: $0) } + module.products
  if module.name == "PCIDiscovery" {
    dependencies.append(.target(name: "CPCIAccess", condition: .when(traits: [pciTrait])))
  }
  targets.append(
    module.isCommand
      ? .executableTarget(
        name: module.name, dependencies: dependencies, swiftSettings: settings)
      : .target(name: module.name, dependencies: dependencies, swiftSettings: settings))
  if let extra = module.tests {
    targets.append(
      .testTarget(
        name: module.name + "Tests",
        dependencies: ([module.name] + module.needs + extra).map { .target(name: $0) },
        swiftSettings: settings))
  }
}

// Tests of more than one module.
let everything = modules.map(\.name)
for (name, needs, products) in [
  ("ExplorationTests", ["Base", "KernelRuntime", "NouveauTestKit"], []),
  ("CLITests", everything, [arguments]),
  ("ContractTests", ["Base", "KernelRuntime", "LinuxMM", "DMAFence"], []),
  (
    "DefectTests",
    ["Base", "KernelRuntime", "LinuxMM", "Nouveau", "EmulatedGPU", "Machine", "NouveauTestKit"], []
  ),
  ("TidyTests", [], []),
] as [(String, [String], [Target.Dependency])] {
  targets.append(
    .testTarget(
      name: name, dependencies: needs.map { .target(name: $0) } + products,
      swiftSettings: settings))
}

// A driver of somebody else's, who sees public names only.
targets += [
  .target(
    name: "ExampleDriver", dependencies: ["Base", "KernelRuntime", "LinuxMM", "DMAFence"],
    path: "docs/example-driver/Sources", packageAccess: false, swiftSettings: settings),
  .testTarget(
    name: "ExampleDriverTests",
    dependencies: [
      "ExampleDriver", "Base", "KernelRuntime", "LinuxMM", "DMAFence", "NouveauTestKit",
    ],
    path: "docs/example-driver/Tests", packageAccess: false, swiftSettings: settings),
]

let package = Package(
  name: "nouveau-dmem",
  products: [.executable(name: "nouveau", targets: ["NouveauCLI"])]
    + modules.filter { !$0.isCommand }.map { .library(name: $0.name, targets: [$0.name]) },
  traits: [
    .trait(
      name: pciTrait, description: "Find this machine's own PCI devices through libpciaccess"),
    .default(enabledTraits: [pciTrait]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: targets
)
