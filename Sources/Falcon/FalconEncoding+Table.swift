extension FalconEncoding {
  /// Every encoding of the version 3 instruction set that an engine without a crypto unit has.
  ///
  /// SOURCE: envytools envydis/falcon.c (rows marked v0-v4 and v3+), docs/hw/falcon/*.rst.
  public static let table: [FalconEncoding] = sizedRows + unsizedRows + flowRows + branchRows

  private static let add8: [(String, FalconOperation, UInt8)] = [
    ("add", .add, 0), ("adc", .adc, 1), ("sub", .sub, 2), ("sbb", .sbb, 3),
  ]
  private static let shifts: [(String, FalconOperation, UInt8)] = [
    ("shl", .shl, 4), ("shr", .shr, 5), ("sar", .sar, 7), ("shlc", .shlc, 0xc),
    ("shrc", .shrc, 0xd),
  ]
  private static let compares: [(String, FalconOperation, UInt8, FalconImmediateKind)] = [
    ("cmpu", .cmpu, 4, .unsigned), ("cmps", .cmps, 5, .signed), ("cmp", .cmp, 6, .signed),
  ]
  private static let unaries: [(String, FalconOperation, UInt8)] = [
    ("not", .not, 0), ("neg", .neg, 1), ("mov", .mov, 2), ("hswap", .hswap, 3),
  ]

  private static let rl = FalconOperand.register(.rl)
  private static let rh = FalconOperand.register(.rh)
  private static let rx = FalconOperand.register(.rx)
  private static let u8 = FalconOperand.immediate(.byte, .unsigned)
  private static let u16 = FalconOperand.immediate(.word, .unsigned)
  private static let s8 = FalconOperand.immediate(.byte, .signed)
  private static let s16 = FalconOperand.immediate(.word, .signed)
  private static let t8 = FalconOperand.immediate(.byte, .truncated)

  /// Forms whose first byte's top bits give the operand size.
  private static let sizedRows: [FalconEncoding] = {
    var rows: [FalconEncoding] = []
    for (name, operation, sub) in add8 {
      rows.append(FalconEncoding(name, operation, 0x10 + sub, .none, [rl, rh, u8]))
      rows.append(FalconEncoding(name, operation, 0x20 + sub, .none, [rl, rh, u16]))
      rows.append(FalconEncoding(name, operation, 0x36, .byte1(sub), [rh, u8]))
      rows.append(FalconEncoding(name, operation, 0x37, .byte1(sub), [rh, u16]))
    }
    for (name, operation, sub) in shifts {
      rows.append(FalconEncoding(name, operation, 0x10 + sub, .none, [rl, rh, t8]))
      rows.append(FalconEncoding(name, operation, 0x36, .byte1(sub), [rh, t8]))
    }
    for (name, operation, sub) in add8 + shifts {
      rows.append(FalconEncoding(name, operation, 0x3b, .byte2(sub), [rh, rl]))
      rows.append(FalconEncoding(name, operation, 0x3c, .byte2(sub), [rx, rh, rl]))
    }
    for (name, operation, sub, kind) in compares {
      let short = FalconOperand.immediate(.byte, kind)
      let long = FalconOperand.immediate(.word, kind)
      rows.append(FalconEncoding(name, operation, 0x30, .byte1(sub), [rh, short]))
      rows.append(FalconEncoding(name, operation, 0x31, .byte1(sub), [rh, long]))
      rows.append(FalconEncoding(name, operation, 0x38, .byte2(sub), [rh, rl]))
    }
    for (name, operation, sub) in unaries {
      rows.append(FalconEncoding(name, operation, 0x39, .byte2(sub), [rl, rh]))
      rows.append(FalconEncoding(name, operation, 0x3d, .byte1(sub), [rh]))
    }
    rows.append(FalconEncoding("clear", .clear, 0x3d, .byte1(4), [rh]))
    rows.append(FalconEncoding("setf", .setf, 0x3d, .byte1(5), [rh]))
    return rows + memoryRows
  }()

  private static let memoryRows: [FalconEncoding] = [
    FalconEncoding("st", .st, 0x00, .none, [.data(.register(.rh), .immediate), rl]),
    FalconEncoding("st", .st, 0x38, .byte2(0), [.data(.register(.rh), .none), rl]),
    FalconEncoding("st", .st, 0x30, .byte1(1), [.data(.stackPointer, .immediate), rh]),
    FalconEncoding("st", .st, 0x38, .byte2(1), [.data(.stackPointer, .register(.rl)), rh]),
    FalconEncoding("ld", .ld, 0x18, .none, [rl, .data(.register(.rh), .immediate)]),
    FalconEncoding("ld", .ld, 0x34, .byte1(0), [rh, .data(.stackPointer, .immediate)]),
    FalconEncoding("ld", .ld, 0x3a, .byte2(0), [rh, .data(.stackPointer, .register(.rl))]),
    FalconEncoding("ld", .ld, 0x3c, .byte2(8), [rx, .data(.register(.rh), .register(.rl))]),
  ]

  /// Arithmetic on whole registers.
  private static let unsizedRows: [FalconEncoding] = {
    var rows: [FalconEncoding] = []
    let wide: [(String, FalconOperation, UInt8, FalconImmediateKind)] = [
      ("mulu", .mulu, 0, .unsigned), ("muls", .muls, 1, .signed), ("and", .and, 4, .unsigned),
      ("or", .or, 5, .unsigned), ("xor", .xor, 6, .unsigned),
    ]
    for (name, operation, sub, kind) in wide {
      let short = FalconOperand.immediate(.byte, kind)
      let long = FalconOperand.immediate(.word, kind)
      rows.append(FalconEncoding(name, operation, 0xc0 + sub, .none, [rl, rh, short]))
      rows.append(FalconEncoding(name, operation, 0xe0 + sub, .none, [rl, rh, long]))
      rows.append(FalconEncoding(name, operation, 0xf0, .byte1(sub), [rh, short]))
      rows.append(FalconEncoding(name, operation, 0xf1, .byte1(sub), [rh, long]))
      rows.append(FalconEncoding(name, operation, 0xfd, .byte2(sub), [rh, rl]))
      rows.append(FalconEncoding(name, operation, 0xff, .byte2(sub), [rx, rh, rl]))
    }
    for (name, operation, sub) in [
      ("div", FalconOperation.div, UInt8(0xc)), ("mod", .mod, 0xd),
    ] {
      rows.append(FalconEncoding(name, operation, 0xc0 + sub, .none, [rl, rh, u8]))
      rows.append(FalconEncoding(name, operation, 0xe0 + sub, .none, [rl, rh, u16]))
      rows.append(FalconEncoding(name, operation, 0xff, .byte2(sub), [rx, rh, rl]))
    }
    return rows + bitRows + moveRows
  }()

  private static let bitRows: [FalconEncoding] = [
    FalconEncoding("sext", .sext, 0xc2, .none, [rl, rh, t8]),
    FalconEncoding("sext", .sext, 0xf0, .byte1(2), [rh, t8]),
    FalconEncoding("sext", .sext, 0xfd, .byte2(2), [rh, rl]),
    FalconEncoding("sext", .sext, 0xff, .byte2(2), [rx, rh, rl]),
    FalconEncoding("extrs", .extrs, 0xc3, .none, [rl, rh, .bitField(.byte)]),
    FalconEncoding("extrs", .extrs, 0xe3, .none, [rl, rh, .bitField(.word)]),
    FalconEncoding("extrs", .extrs, 0xff, .byte2(3), [rx, rh, rl]),
    FalconEncoding("extr", .extr, 0xc7, .none, [rl, rh, .bitField(.byte)]),
    FalconEncoding("extr", .extr, 0xe7, .none, [rl, rh, .bitField(.word)]),
    FalconEncoding("extr", .extr, 0xff, .byte2(7), [rx, rh, rl]),
    FalconEncoding("ins", .ins, 0xcb, .none, [rl, rh, .bitField(.byte)]),
    FalconEncoding("ins", .ins, 0xeb, .none, [rl, rh, .bitField(.word)]),
    FalconEncoding("xbit", .xbit, 0xc8, .none, [rl, rh, t8]),
    FalconEncoding("xbit", .xbit, 0xff, .byte2(8), [rx, rh, rl]),
    FalconEncoding("xbit", .xbit, 0xf0, .byte1(0xc), [rh, .flags, .flag]),
    FalconEncoding("xbit", .xbit, 0xfe, .byte2(0xc), [rl, .flags, rh]),
    FalconEncoding("bset", .bset, 0xf0, .byte1(9), [rh, t8]),
    FalconEncoding("bclr", .bclr, 0xf0, .byte1(0xa), [rh, t8]),
    FalconEncoding("btgl", .btgl, 0xf0, .byte1(0xb), [rh, t8]),
    FalconEncoding("bset", .bset, 0xfd, .byte2(9), [rh, rl]),
    FalconEncoding("bclr", .bclr, 0xfd, .byte2(0xa), [rh, rl]),
    FalconEncoding("btgl", .btgl, 0xfd, .byte2(0xb), [rh, rl]),
    FalconEncoding("bset", .bset, 0xf4, .byte1Wide(0x31), [.flags, .flag]),
    FalconEncoding("bclr", .bclr, 0xf4, .byte1Wide(0x32), [.flags, .flag]),
    FalconEncoding("btgl", .btgl, 0xf4, .byte1Wide(0x33), [.flags, .flag]),
    FalconEncoding("bset", .bset, 0xf9, .byte1(9), [.flags, rh]),
    FalconEncoding("bclr", .bclr, 0xf9, .byte1(0xa), [.flags, rh]),
    FalconEncoding("btgl", .btgl, 0xf9, .byte1(0xb), [.flags, rh]),
    FalconEncoding("setp", .setp, 0xf2, .byte1(8), [.flag, rh]),
    FalconEncoding("setp", .setp, 0xfa, .byte2(8), [rl, rh]),
  ]

  private static let moveRows: [FalconEncoding] = [
    FalconEncoding("mov", .movImmediate, 0xf0, .byte1(7), [rh, s8]),
    FalconEncoding("mov", .movImmediate, 0xf1, .byte1(7), [rh, s16]),
    FalconEncoding("sethi", .sethi, 0xf0, .byte1(3), [rh, u8]),
    FalconEncoding("sethi", .sethi, 0xf1, .byte1(3), [rh, u16]),
    FalconEncoding("mov", .moveToSpecial, 0xfe, .byte2(0), [.special(.rl), rh]),
    FalconEncoding("mov", .moveFromSpecial, 0xfe, .byte2(1), [rl, .special(.rh)]),
    FalconEncoding("ptlb", .ptlb, 0xfe, .byte2(2), [rl, rh]),
    FalconEncoding("vtlb", .vtlb, 0xfe, .byte2(3), [rl, rh]),
    FalconEncoding("itlb", .itlb, 0xf9, .byte1(8), [rh]),
  ]

  /// Stack, flow, I/O and transfers.
  private static let flowRows: [FalconEncoding] = [
    FalconEncoding("push", .push, 0xf9, .byte1(0), [rh]),
    FalconEncoding("pop", .pop, 0xfc, .byte1(0), [rh]),
    FalconEncoding("add", .addStack, 0xf4, .byte1Wide(0x30), [.stackPointer, s8]),
    FalconEncoding("add", .addStack, 0xf5, .byte1Wide(0x30), [.stackPointer, s16]),
    FalconEncoding("add", .addStack, 0xf9, .byte1(1), [.stackPointer, rh]),
    FalconEncoding("jmp", .jmp, 0xf4, .byte1Wide(0x20), [.absoluteTarget(.byte)]),
    FalconEncoding("jmp", .jmp, 0xf5, .byte1Wide(0x20), [.absoluteTarget(.word)]),
    FalconEncoding("jmp", .jmp, 0xf9, .byte1(4), [rh]),
    FalconEncoding("call", .call, 0xf4, .byte1Wide(0x21), [.absoluteTarget(.byte)]),
    FalconEncoding("call", .call, 0xf5, .byte1Wide(0x21), [.absoluteTarget(.word)]),
    FalconEncoding("call", .call, 0xf9, .byte1(5), [rh]),
    FalconEncoding("ret", .ret, 0xf8, .byte1(0)),
    FalconEncoding("iret", .iret, 0xf8, .byte1(1)),
    FalconEncoding("exit", .exit, 0xf8, .byte1(2)),
    FalconEncoding("xdwait", .xdwait, 0xf8, .byte1(3)),
    FalconEncoding("xdfence", .xdfence, 0xf8, .byte1(6)),
    FalconEncoding("xcwait", .xcwait, 0xf8, .byte1(7)),
    FalconEncoding("trap0", .trap, 0xf8, .byte1(8)),
    FalconEncoding("trap1", .trap, 0xf8, .byte1(9)),
    FalconEncoding("trap2", .trap, 0xf8, .byte1(0xa)),
    FalconEncoding("trap3", .trap, 0xf8, .byte1(0xb)),
    FalconEncoding("sleep", .sleep, 0xf4, .byte1Wide(0x28), [.flag]),
    FalconEncoding("iord", .iord, 0xcf, .none, [rl, .io(.rh, .immediate)]),
    FalconEncoding("iord", .iord, 0xff, .byte2(0xf), [rx, .io(.rh, .register(.rl))]),
    FalconEncoding("iords", .iords, 0xce, .none, [rl, .io(.rh, .immediate)]),
    FalconEncoding("iords", .iords, 0xff, .byte2(0xe), [rx, .io(.rh, .register(.rl))]),
    FalconEncoding("iowr", .iowr, 0xd0, .none, [.io(.rh, .immediate), rl]),
    FalconEncoding("iowr", .iowr, 0xfa, .byte2(0), [.io(.rh, .none), rl]),
    FalconEncoding("iowrs", .iowrs, 0xd1, .none, [.io(.rh, .immediate), rl]),
    FalconEncoding("iowrs", .iowrs, 0xfa, .byte2(1), [.io(.rh, .none), rl]),
    FalconEncoding("xcld", .xcld, 0xfa, .byte2(4), [rh, rl]),
    FalconEncoding("xdld", .xdld, 0xfa, .byte2(5), [rh, rl]),
    FalconEncoding("xdst", .xdst, 0xfa, .byte2(6), [rh, rl]),
  ]

  private static let branchRows: [FalconEncoding] = FalconCondition.all.flatMap { condition in
    let operands: [FalconOperand] =
      condition == .always ? [] : [.condition(condition)]
    return [
      FalconEncoding(
        "bra", .bra, 0xf4, .byte1Wide(condition.code), operands + [.relativeTarget(.byte)]),
      FalconEncoding(
        "bra", .bra, 0xf5, .byte1Wide(condition.code), operands + [.relativeTarget(.word)]),
    ]
  }
}
