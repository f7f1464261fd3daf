import Foundation
import Testing

/// `docs/conformance.md` lists the kernel's and IGT's checks of fences and of memory management
/// under their own names, made from the names of the tests that reproduce them. A test whose
/// arguments are all cases of an enumeration `…Run` of words is one check for each of them.
///
/// `NOUVEAU_WRITE_DOCS=1` writes the file anew.
@Suite struct ConformanceTests {
  let tree = SourceTree()

  /// A suite of somebody else's, and how many of its checks are reproduced at least.
  static let suites: [(name: String, origin: String, atLeast: Int)] = [
    ("dma-fence", "Linux, drivers/dma-buf/st-dma-fence.c", 12),
    ("dma-fence-chain", "Linux, drivers/dma-buf/st-dma-fence-chain.c", 11),
    ("dma-fence-unwrap", "Linux, drivers/dma-buf/st-dma-fence-unwrap.c", 6),
    ("dma-resv", "Linux, drivers/dma-buf/st-dma-resv.c", 5),
    ("kselftest sync", "Linux, tools/testing/selftests/sync", 10),
    ("sw_sync", "IGT, tests/sw_sync.c", 18),
    ("syncobj_basic", "IGT, tests/syncobj_basic.c", 12),
    ("syncobj_wait", "IGT, tests/syncobj_wait.c", 1),
    ("syncobj_timeline", "IGT, tests/syncobj_timeline.c", 30),
    ("syncobj", "IGT, tests of both kinds of syncobj", 15),
    ("syncobj_eventfd", "IGT, tests/syncobj_eventfd.c", 11),
    ("dmabuf_sync_file", "IGT, tests/dmabuf_sync_file.c", 7),
    ("vgem", "IGT, tests/vgem_basic.c", 4),
    ("vgem_slow", "IGT, tests/vgem_slow.c", 1),
    ("drm_sched", "Linux, drivers/gpu/drm/scheduler/tests", 15),
    ("uffd-unit-tests", "Linux, tools/testing/selftests/mm/uffd-unit-tests.c", 17),
    ("cow", "Linux, tools/testing/selftests/mm/cow.c", 173),
    ("gup_longterm", "Linux, tools/testing/selftests/mm/gup_longterm.c", 32),
    ("migration", "Linux, tools/testing/selftests/mm/migration.c", 3),
    ("mlock2-tests", "Linux, tools/testing/selftests/mm/mlock2-tests.c", 7),
    ("mlock-random-test", "Linux, tools/testing/selftests/mm/mlock-random-test.c", 2),
    ("madv_populate", "Linux, tools/testing/selftests/mm/madv_populate.c", 6),
    ("mremap_test", "Linux, tools/testing/selftests/mm/mremap_test.c", 22),
    ("mremap_dontunmap", "Linux, tools/testing/selftests/mm/mremap_dontunmap.c", 5),
    ("hmm-tests", "Linux, tools/testing/selftests/mm/hmm-tests.c", 37),
  ]

  /// Checks that have nothing to stand on here, with the reason.
  static let notApplicable: [(suite: String, check: String, reason: String)] = [
    ("vgem", "create", "GEM handles of a DRM device; there is no DRM core here"),
    ("vgem", "mmap", "a GEM object mapped into a process; there is no DRM core here"),
    ("vgem", "second-client", "a second open of a DRM node; there is no DRM core here"),
    ("vgem", "setversion", "an ioctl of the DRM core"),
    ("vgem", "dmabuf-export", "a GEM object as a dma-buf file; fences of buffers are covered"),
    ("vgem", "dmabuf-mmap", "a dma-buf mapped into a process; fences of buffers are covered"),
    ("vgem", "unload", "unloading a kernel module"),
    ("uffd-unit-tests", "minor-collapse", "shared memory has no huge pages here"),
    (
      "gup_longterm", "io_uring fixed buffer, the two cases",
      "there is no io_uring; its pins are those of the other cases"
    ),
    ("migration", "shared_anon_thp", "shared memory has no huge pages here"),
    ("migration", "private_anon_htlb", "migrate_vma refuses hugetlb; there is no move_pages here"),
    ("migration", "shared_anon_htlb", "migrate_vma refuses hugetlb; there is no move_pages here"),
  ]

  /// Checks that fail in Linux too, and are marked so by their suite; a test here holds the model
  /// to the same outcome.
  static func isExpectedToFail(_ row: Row) -> Bool {
    row.suite == "cow" && row.check.hasPrefix("vmsplice()") && row.check.hasSuffix("with hugetlb")
  }

  struct Row: Hashable {
    let suite: String
    let check: String
    let file: String
    let test: String
  }

  @Test func conformance_saysWhatTheTestsSay() throws {
    let rows = try self.rows()
    let text = document(rows)
    let path = tree.root.appendingPathComponent("docs/conformance.md")
    if ProcessInfo.processInfo.environment["NOUVEAU_WRITE_DOCS"] != nil {
      try text.write(to: path, atomically: true, encoding: .utf8)
    }
    #expect(
      try tree.text("docs/conformance.md") == text,
      "docs/conformance.md is out of date: NOUVEAU_WRITE_DOCS=1 swift test --filter conformance")
  }

  /// A check that loses its test is noticed, as is a suite that nobody has heard of.
  @Test func checks_areAllThere() throws {
    let rows = try self.rows()
    #expect(rows.count >= 150, "only \(rows.count) checks have a test of their name")
    #expect(Set(rows.map { "\($0.suite): \($0.check)" }).count == rows.count, "a name stands twice")
    for suite in Self.suites {
      let count = rows.count { $0.suite == suite.name }
      #expect(count >= suite.atLeast, "\(suite.name) has \(count) checks")
    }
    for row in rows {
      #expect(Self.suites.contains { $0.name == row.suite }, "\(row.file): suite \(row.suite)")
      #expect(
        !Self.notApplicable.contains { $0.suite == row.suite && $0.check == row.check },
        "\(row.suite): \(row.check) has a test and is said not to apply")
    }
  }

  /// A test named after a check gives no reason to be left out of a run.
  @Test func checks_areNeverDisabled() throws {
    for file in try tree.files(in: "Tests/DMAFenceTests", ".swift") {
      for (number, line) in file.lines.enumerated() {
        #expect(
          !line.contains(".disabled(") && !line.contains("withKnownIssue"),
          "\(file.path):\(number + 1) leaves a check out")
      }
    }
  }

  private func rows() throws -> [Row] {
    let runs = try self.runs()
    var rows: [Row] = []
    for file in try tree.files(in: "Tests", ".swift") where file.module != "TidyTests" {
      for (index, line) in file.lines.enumerated() {
        guard let name = name(line, file.lines.dropFirst(index + 1).first),
          let colon = name.range(of: ": ")
        else { continue }
        let check = String(name[colon.upperBound...])
        let kinds = runs[argument(file.lines[index...])] ?? []
        for full in kinds.isEmpty ? [check] : kinds.map({ "\(check) ... with \($0)" }) {
          rows.append(
            Row(
              suite: String(name[..<colon.lowerBound]), check: full, file: file.path,
              test: function(file.lines[index...])))
        }
      }
    }
    return rows.sorted { ($0.suite, $0.check, $0.file) < ($1.suite, $1.check, $1.file) }
  }

  /// The words of each enumeration whose name ends with `Run`.
  private func runs() throws -> [String: [String]] {
    var runs: [String: [String]] = [:]
    for file in try tree.files(in: "Tests", ".swift") where file.module != "TidyTests" {
      var name: String?
      for line in file.lines {
        let words = line.split(separator: " ")
        if words.first == "enum", words.count > 2, words[1].hasSuffix("Run:"), words[2] == "String,"
        {
          name = String(words[1].dropLast())
        } else if let known = name, words.first == "case", words.count > 1 {
          let value = line.split(separator: "\"")
          runs[known, default: []].append(String(value.count > 1 ? value[1] : words[1]))
        } else if words.isEmpty {
          name = nil
        }
      }
    }
    return runs
  }

  /// The enumeration whose cases are a test's arguments; empty for none.
  private func argument(_ lines: ArraySlice<String>) -> String {
    for line in lines.prefix(3) {
      if line.contains("func ") { break }
      guard let start = line.range(of: "arguments: "), let end = line.range(of: ".allCases") else {
        continue
      }
      return String(line[start.upperBound..<end.lowerBound])
    }
    return ""
  }

  /// The name in a `@Test("…")`, which may stand in the next line; nil for other lines.
  private func name(_ line: String, _ next: String?) -> String? {
    let text = line.trimmingCharacters(in: .whitespaces)
    guard text.hasPrefix("@Test(") else { return nil }
    var rest = String(text.dropFirst("@Test(".count))
    if rest.isEmpty { rest = (next ?? "").trimmingCharacters(in: .whitespaces) }
    guard rest.hasPrefix("\"") else { return nil }
    return String(rest.dropFirst().prefix { $0 != "\"" })
  }

  /// The name of the first function at or below a line.
  private func function(_ lines: ArraySlice<String>) -> String {
    for line in lines.prefix(8) {
      if let start = line.range(of: "func ") {
        return String(line[start.upperBound...].prefix { $0 != "(" && $0 != "<" })
      }
    }
    return ""
  }

  private func document(_ rows: [Row]) -> String {
    var text = """
      # Conformance

      The checks of the kernel's and IGT's suites for fences, reservation objects, sync files, sync
      objects, the job scheduler and memory management, under their own names. "pass" means that a
      test of that name is part of this package's own suite, which fails when the check does;
      "fails, as in Linux" that the check's own suite expects it to fail, and that it fails here in
      the same way. The file is made from the tests' names by a test (`ConformanceTests`), which
      fails when the two
      differ;
      `NOUVEAU_WRITE_DOCS=1 swift test --filter conformance` writes it anew.

      \(rows.count) checks are reproduced; \(Self.notApplicable.count) do not apply.

      | Suite | Origin | Reproduced | Not applicable |
      | --- | --- | ---: | ---: |

      """
    for suite in Self.suites {
      let without = Self.notApplicable.count { $0.suite == suite.name }
      text += "| \(suite.name) | \(suite.origin) | \(rows.count { $0.suite == suite.name }) | "
      text += "\(without) |\n"
    }
    text += "\n| Suite | Check | Result | How |\n| --- | --- | --- | --- |\n"
    for suite in Self.suites {
      for row in rows where row.suite == suite.name {
        let file = row.file.split(separator: "/").last ?? ""
        let result = Self.isExpectedToFail(row) ? "fails, as in Linux" : "pass"
        text +=
          "| \(row.suite) | \(row.check) | \(result) | `\(row.test)`, "
          + "[\(file)](../\(row.file)) |\n"
      }
      for item in Self.notApplicable where item.suite == suite.name {
        text += "| \(item.suite) | \(item.check) | not applicable | \(item.reason) |\n"
      }
    }
    return text
  }
}
