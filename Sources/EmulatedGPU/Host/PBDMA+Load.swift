import Base
import KernelRuntime
import NVHardware

extension PBDMA {
  /// Loads a channel from its instance block; false after an error, which is reported.
  func load(_ channel: Channel) -> Bool {
    guard let instance = channel.instance else { return false }
    channel.isRung = false
    do throws(TranslationFault) {
      channel.context = try mmu.context(at: instance)
    } catch {
      fault(channel, instance, 0, error.type, .READ)
      return false
    }
    do throws(BusFault) {
      let run = try board.resolve(instance, isWrite: false)
      func word(_ offset: Int) -> UInt32 { run.memory.load(UInt32.self, at: run.offset + offset) }
      let signature = word(NV_RAMFC.SIGNATURE) & 0xffff
      guard signature == board.hostClass || signature == NV_RAMFC.SIGNATURE_WILDCARD else {
        raise(channel, NV_PPBDMA.INTR_0_SIGNATURE, .skip)
        return false
      }
      let userdLow = word(NV_RAMFC.USERD_LO)
      channel.userd = Place(
        aperture: Aperture(target: userdLow & 3) ?? .vram,
        address: UInt64(word(NV_RAMFC.USERD_HI)) << 32 | UInt64(userdLow & ~0x1ff))
      let high = word(NV_RAMFC.GP_BASE_HI)
      channel.gpBase =
        UInt64(NV_RAMFC.GP_BASE_HI_OFFSET.get(high)) << 32 | UInt64(word(NV_RAMFC.GP_BASE_LO) & ~7)
      channel.gpMask = 1 << NV_RAMFC.GP_BASE_HI_LIMIT2.get(high) &- 1
      channel.acquireWord = word(NV_RAMFC.ACQUIRE)
      channel.isPrivileged = NV_RAMFC.HCE_CTRL_PRIV_MODE.get(word(NV_RAMFC.HCE_CTRL)) == 1
      channel.isAuthorized =
        NV_RAMFC.CONFIG_AUTH_LEVEL_PRIVILEGED.get(word(NV_RAMFC.CONFIG)) == 1
      // Only a channel that stays is on the unit: a bad GP_PUT leaves it for its driver to unbind.
      channel.isLoaded = refreshPut(channel)
      return channel.isLoaded
    } catch {
      fault(channel, instance, 0, .UNBOUND_INST_BLOCK, .READ)
      return false
    }
  }

  /// Reads GP_PUT from USERD; false when it lies outside the ring.
  func refreshPut(_ channel: Channel) -> Bool {
    channel.isRung = false
    do throws(BusFault) {
      channel.gpPut = try board.load(
        UInt32.self, at: channel.userd.advanced(by: UInt64(NV_RAMUSERD.GP_PUT)))
    } catch {
      raise(channel, NV_PPBDMA.INTR_0_MEMREQ, .skip)
      return false
    }
    guard channel.gpPut <= channel.gpMask else {
      channel.gpPut = channel.gpGet
      raise(channel, NV_PPBDMA.INTR_0_GPPTR, .skip)
      return false
    }
    return true
  }

  /// Brings GET and GP_GET to the driver's eyes.
  func writeBack(_ channel: Channel) {
    guard channel.isLoaded else { return }
    let userd = channel.userd
    let get = channel.fetch.address
    do throws(BusFault) {
      try store(channel.gpGet, NV_RAMUSERD.GP_GET, userd)
      try store(UInt32(truncatingIfNeeded: get), NV_RAMUSERD.GET, userd)
      try store(UInt32(truncatingIfNeeded: get >> 32), NV_RAMUSERD.GET_HI, userd)
      try store(UInt32(truncatingIfNeeded: get), NV_RAMUSERD.TOP_LEVEL_GET, userd)
      try store(
        UInt32(truncatingIfNeeded: get >> 32) | 1 << 31, NV_RAMUSERD.TOP_LEVEL_GET_HI, userd)
      try store(channel.reference, NV_RAMUSERD.REF, userd)
    } catch {
      raise(channel, NV_PPBDMA.INTR_0_MEMREQ, .skip)
    }
  }

  @inline(__always)
  private func store(_ value: UInt32, _ offset: Int, _ userd: Place) throws(BusFault) {
    try board.store(value, at: userd.advanced(by: UInt64(offset)))
  }

  // MARK: errors

  /// Stops the unit on an interrupt of INTR_0.
  func raise(_ channel: Channel, _ field: BitField, _ kind: ErrorKind) {
    intr0 |= UInt32(truncatingIfNeeded: field.mask)
    stop(channel, kind)
  }

  /// Stops the unit on an interrupt of INTR_1, which names the method in HCE_DBG.
  func raiseHCE(_ channel: Channel, _ field: BitField, _ method: Channel.Method) {
    intr1 |= UInt32(truncatingIfNeeded: field.mask)
    hceDebug = (method.address, method.data)
    stop(channel, .skip)
  }

  private func stop(_ channel: Channel, _ kind: ErrorKind) {
    errorKind = kind
    errorChannel = channel.id
    board.kernel.trace.record(
      .hostError, UInt64(channel.id), UInt64(intr0), UInt64(intr1), UInt64(method0), on: agent.row)
    updateInterrupt()
  }

  func updateInterrupt() {
    interrupts.pbdma(index, intr0 & intrEnable0 | intr1 & intrEnable1 != 0)
  }

  /// An MMU fault of the host itself.
  func fault(
    _ channel: Channel, _ instance: Place, _ address: UInt64, _ type: NV_PFAULT.FaultType,
    _ access: NV_PFAULT.AccessType
  ) {
    channel.isFaulted = true
    interrupts.stoppedRunlists |= 1 << runlistID
    reports.report(
      unit: NV_PFAULT.MMU_ENG_ID_HOST0 + index, instance: instance, address: address, type: type,
      access: access, client: NV_PFAULT.CLIENT_HUB_HOST)
  }
}
