import PCIDiscovery
import Testing

private typealias Place = VBIOSBuilder.Place

private func build(_ change: (inout VBIOSBuilder) -> Void = { _ in }) -> [UInt8] {
  var builder = VBIOSBuilder()
  change(&builder)
  return builder.build()
}

@Test func vbios_goodImageHasNoFindings() throws {
  let bytes = build()
  let bios = try VBIOS(parsing: bytes)
  #expect(bios.findings.isEmpty, "\(bios.findings)")
  #expect(bios.version == "86.00.4D.00.01")
  #expect(bios.images.count == 1 && bios.images[0].kind == .legacy && bios.images[0].isLast)
  #expect(bios.images[0].checksum == 0 && bios.images[0].length == bytes.count)
  #expect(bios.images[0].device == 0x15f8 && bios.images[0].classCode == 0x030200)
  #expect(bios.bit?.tokens.map(\.letter) == ["i", "S", "N", "I", "p"])
  #expect(bios.bit?.isHeaderGood == true)
  #expect(
    bios.labels.map(\.text) == [
      "Emulated board", "Version 86.00.4D.00.01", "none", "GP100 profile", "1",
    ])
  #expect(bios.devinit.missing.isEmpty)
  #expect(bios.devinit.tables.stands(at: Place.tables, 0x40))
  #expect(bios.devinit.bootScript.stands(at: Place.script, 0x20))
  let program = try #require(bios.devinit.programs.first)
  #expect(program.name == "DEVINIT" && program.offset == Place.program)
  #expect(Optional(program.boot).stands(at: Place.program + 0x30, 0x40))
  #expect(Optional(program.code).stands(at: Place.program + 0x70, 0x80))
  #expect(Optional(program.data).stands(at: Place.program + 0xf0, 0x40))
  #expect(bios.dcb?.offset == Place.dcb && bios.dcb?.version == 0x40 && bios.dcb?.isSigned == true)
  #expect(bios.nouveauScore == 4)
}

extension VBIOSDevinit.Piece? {
  fileprivate func stands(at offset: Int, _ size: Int) -> Bool {
    self?.offset == offset && self?.size == size
  }
}

@Test(arguments: [true, false])
func vbios_walksEveryImage(_ npde: Bool) throws {
  let bios = try VBIOS(
    parsing: build {
      $0.hasUEFI = true
      $0.hasExtension = true
      $0.hasNPDE = npde
    })
  #expect(bios.findings.isEmpty, "\(bios.findings)")
  #expect(bios.images.map(\.kind) == [.legacy, .uefi, .nvidiaExtension])
  #expect(bios.images.map(\.isLast) == [false, false, true])
  #expect(bios.images.allSatisfy { ($0.npde != nil) == npde })
  // The PMU's table lies in the extension, at a pointer beyond the legacy image.
  #expect(bios.devinit.programs.map(\.offset) == [2 * Place.length + Place.program])
  #expect(bios.nouveauScore == 10)
}

@Test(arguments: [UInt8(1), 2, 3])
func vbios_unwrapsEveryVersion(_ version: UInt8) throws {
  let bios = try VBIOS(parsing: build { $0.wrapper = version })
  #expect(bios.findings.isEmpty, "\(bios.findings)")
  #expect(bios.wrapper?.version == version)
  #expect(bios.version == "86.00.4D.00.01")
  #expect(bios.images[0].offset == bios.wrapper?.romOffset)
}

@Test func vbios_findsAnImageBehindUnknownData() throws {
  let bios = try VBIOS(parsing: [UInt8](repeating: 0x5a, count: 1024) + build())
  #expect(bios.images[0].offset == 1024)
  #expect(bios.findings.map(\.offset) == [0])
}

/// Builds, damages and parses; the result is what the error or the findings say.
private func said(
  _ damage: (inout [UInt8]) -> Void, of change: (inout VBIOSBuilder) -> Void = { _ in }
) -> [String] {
  var bytes = build(change)
  damage(&bytes)
  do {
    return try VBIOS(parsing: bytes).findings.map(\.description)
  } catch {
    return [error.description]
  }
}

@Test func vbios_fatalDamageNamesTheOffset() {
  #expect(said { $0 = [] } == ["0x00000: the file has 0 bytes, too few for an image"])
  #expect(said { $0 = Array($0.prefix(0x19)) }[0].hasPrefix("0x00019: "))
  #expect(said { $0[0] = 0 }[0].hasPrefix("0x00000: neither an image (55 aa) nor a wrapper"))
  #expect(said { $0.put16(0xfff0, at: 0x18) }[0].hasPrefix("0x0fff0: the file ends after 4096"))
  #expect(said { $0[Place.header] = 0 }[0].hasPrefix("0x00040: the image's header has mark"))
  #expect(said { $0 = Array($0.prefix(0x50)) }[0].contains("before the image's length"))
}

@Test func vbios_damagedWrapperNamesTheOffset() {
  let wrap3 = { (builder: inout VBIOSBuilder) in builder.wrapper = 3 }
  #expect(
    said({ $0[5] = 9 }, of: wrap3) == ["0x00005: the wrapper has version 9; 1, 2 and 3 are known"])
  #expect(
    said({ $0[0x400 + 4096] = 0 }, of: wrap3)[0].hasPrefix("0x01400: the wrapper's directory"))
  #expect(said({ $0.put32(0x20_0000, at: 0x1408) }, of: wrap3)[0].hasPrefix("0x01408: "))
  #expect(said({ $0.put32(0x30, at: 0x1408) }, of: wrap3)[0].hasPrefix("0x00030: the wrapper (at"))
  #expect(said({ $0.put32(0xffff_ffff, at: 0x20) }, of: wrap3)[0].contains("the file ends after"))
}

@Test func vbios_lesserDamageIsFoundAndTheRestIsRead() throws {
  #expect(said { $0[0xfff] &+= 1 } == ["0x00000: the image's bytes add up to 0x01, not to 0"])
  #expect(
    said { $0 = Array($0.prefix(4000)) }[0]
      == "0x00fa0: the file ends here; the image at 0x00000 has 4096 bytes, of which 4000 are there"
  )
  let unmarked = said {
    $0[Place.npde + 0x0a] = 0
    $0[0xfff] &+= 0x80
  }
  #expect(unmarked == ["0x01000: the file ends here, but its last image is not marked as last"])
  let empty = said { $0.put16(0, at: Place.npde + 8) }
  #expect(empty.contains("0x00050: the image's length is 0"))
  let second = said({ $0[Place.length] = 0 }, of: { $0.hasUEFI = true })
  #expect(second.contains { $0.hasPrefix("0x01000: no image begins here") })
}

@Test func vbios_damagedTablesNameTheOffset() throws {
  func hasOne(_ text: String, _ damage: (inout [UInt8]) -> Void) {
    let found = said(damage)
    #expect(found.contains { $0.contains(text) }, "\(text) is not in \(found)")
  }
  hasOne("0x00100: the BIT header's bytes don't add up to 0") { $0[Place.bit + 11] &+= 1 }
  hasOne("0x00108: the BIT header says 3 bytes of header") { $0[Place.bit + 8] = 3 }
  hasOne("0x00000: the first image has no BIT table") { $0[Place.bit] = 0 }
  hasOne("a BMP table of older chips begins here") {
    $0[Place.bit] = 0
    for (index, byte) in ([0xff, 0x7f] + Array("NV".utf8)).enumerated() { $0[0x180 + index] = byte }
  }
  hasOne("0x00110: token 'i' points to 0xffff, whose 32 bytes are not in the file") {
    $0.put16(0xffff, at: Place.bit + 16)
  }
  hasOne("token 'i' has 4 bytes; the version takes 5") { $0.put16(4, at: Place.bit + 14) }
  hasOne("the file ends before token") {
    $0[Place.bit + 9] = 255
    $0[Place.bit + 10] = 255
  }
  hasOne("the sign-on message is at 0xfffe, not in the file") {
    $0.put16(0xfffe, at: Place.stringData)
  }
  hasOne("token 'S' has version 7") { $0[Place.bit + 12 + 6 + 1] = 7 }
  hasOne("the PMU table is at 0x7fffffff, not in the file") {
    $0.put32(0x7fff_ffff, at: Place.falconData)
  }
  hasOne("the PMU program of type 0x04 at 0xffffffff is not in the file") {
    $0.put32(0xffff_ffff, at: Place.pmuTable + 6)
  }
  hasOne("entry 1 of 1 of the PMU table is cut off") { $0[Place.pmuTable + 2] = 1 }
}

@Test func vbios_saysWhatDevinitLacks() throws {
  let bare = try VBIOS(parsing: build { $0.hasDevinit = false })
  #expect(bare.devinit.missing.count == 3)
  #expect(bare.devinit.missing.contains { $0.contains("DEVINIT (type 0x04)") })
  #expect(bare.lines.contains { $0.hasPrefix("devinit: missing token 'I'") })
  #expect(try VBIOS(parsing: build()).lines.contains { $0.contains("everything that a driver") })
}

@Test func vbios_endsOnEndlessImages() throws {
  var image = build { $0.hasUEFI = true }
  image = Array(image.prefix(Place.length))
  var many: [UInt8] = []
  for _ in 0..<40 { many += image }
  let bios = try VBIOS(parsing: many)
  #expect(bios.images.count == 32)
  #expect(bios.findings.contains { $0.message.contains("more than 32 images") })
}

@Test func vbios_everyCutOfTheFileIsTaken() {
  let bytes = build {
    $0.wrapper = 3
    $0.hasUEFI = true
    $0.hasExtension = true
  }
  for length in stride(from: 0, to: bytes.count, by: 37) {
    let cut = Array(bytes.prefix(length))
    do {
      let bios = try VBIOS(parsing: cut)
      #expect(!bios.findings.isEmpty, "a file cut to \(length) bytes passes for whole")
    } catch {
      #expect(error.offset >= 0)
    }
  }
}
