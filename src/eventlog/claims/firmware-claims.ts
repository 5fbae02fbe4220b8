import type { AnnotatedEvent } from '../annotate.ts'
import { EV_EFI_HCRTM_EVENT } from '../event-types.ts'
import { isMarker } from '../facts/unread.ts'
import { DMA_PROTECTION_DISABLED, ENTERING_SETUP, knownDigest, UEFI_DEBUG_MODE } from '../known-digests.ts'
import { labelText } from '../payload/text.ts'
import { registerOf } from '../registers.ts'
import type { FirmwareClaims, PlatformClaims } from './boot-claims.ts'
import { known, listedAsSaid, unknown, type Claim, type UnknownClaim } from './claim.ts'
import { digestClaim, indicesOf } from './digest-claim.ts'
import { platformNames } from './platform-names.ts'
import { claimOf, listIn, measurementsOf, missing, nothingMeasured, type Reading } from './reading.ts'

/** Long texts of microcode events exist nowhere. */
const MAX_TEXT = 256

/** The separator with which firmware says that a measurement failed. */
const FIRMWARE_ERROR = 1
const MICROCODE = 'EV_CPU_MICROCODE'

/** Where firmware measures boot options. */
const OPTION_PCRS = [1, 5]
const PLATFORM_PCRS = [0, 1, 2, 3, 4, 5, 6, 7]

export function firmwareClaims(reading: Reading): FirmwareClaims {
  const { facts, kind } = reading
  const { version } = facts.firmware
  const codePcr = isCoreboot(reading) ? 2 : 0
  const code = measurementsOf(reading, codePcr).filter((event) => !isMarker(event))
  const failed = failedSeparators(reading)
  const microcode = measurementsOf(reading, 0, 1).flatMap(({ event, type }) => {
    const text = type?.name === MICROCODE ? labelText(event.data, MAX_TEXT) : undefined
    return text === undefined ? [] : [{ text, index: event.index }]
  })
  return {
    version: claimOf(
      version,
      ({ text, event }) => known(text, [event.index]),
      () => missing(reading, [0], 'no EV_S_CRTM_VERSION that its digest covers stands before the separator of PCR 0'),
    ),
    ...startOf(reading),
    code: kind === 'rtmr' ? OUTSIDE : listIn(reading, [codePcr], code.map(digestClaim), indicesOf(code)),
    drivers: driversOf(reading),
    failedRegisters: listIn(
      reading,
      PLATFORM_PCRS,
      failed.map(({ event }) => event.pcr),
      indicesOf(failed),
    ),
    untrustedPlatform: platformNames(reading.log),
    untrustedMicrocode:
      microcode.length === 0
        ? unknown('the log has no text of a microcode update')
        : listedAsSaid(
            microcode.map(({ text }) => text),
            microcode.map(({ index }) => index),
          ),
  }
}

/**
 * The separator of an error, by its digest. A BootOrder of the options 1 and 0 has the same digest: where boot options
 * are measured, it counts only if nothing else closes the register.
 */
function failedSeparators(reading: Reading): AnnotatedEvent[] {
  return PLATFORM_PCRS.map((pcr) => registerOf(reading.kind, pcr))
    .filter((register, at, registers) => registers.indexOf(register) === at)
    .flatMap((register) => {
      const separators = (reading.registers.get(register) ?? []).flatMap((annotated) => {
        const content = knownDigest(annotated.digest?.toString('latin1') ?? '', reading.bank)?.content
        return content?.kind === 'separator' ? [{ annotated, value: content.value }] : []
      })
      const failed = separators.filter(({ value }) => value === FIRMWARE_ERROR)
      const mayBeOrder = OPTION_PCRS.some((pcr) => registerOf(reading.kind, pcr) === register)
      return mayBeOrder && failed.length < separators.length ? [] : failed.map(({ annotated }) => annotated)
    })
}

const OUTSIDE = unknown('the firmware of a confidential guest is measured into MRTD, which no log covers')

/** coreboot measures its own stages into PCR 2, and into PCR 0 and 1 what it booted as: measured_boot.md of its documentation. */
function isCoreboot({ log }: Reading): boolean {
  return log.writer === 'coreboot'
}

function driversOf(reading: Reading): FirmwareClaims['drivers'] {
  if (isCoreboot(reading)) return unknown('coreboot measures its own stages into PCR 2: see firmware.code')
  if (reading.kind === 'rtmr') return unknown('one RTMR holds drivers and images: see boot.images')
  const events = measurementsOf(reading, 2).filter((event) => !isMarker(event))
  return listIn(reading, [2], events.map(digestClaim), indicesOf(events))
}

/** The first value of PCR 0 says from where the TPM was started: replay shows it, not the event that says so. */
function startOf(reading: Reading): Pick<FirmwareClaims, 'startupLocality' | 'hcrtm'> {
  if (reading.kind === 'rtmr') return { startupLocality: OUTSIDE, hcrtm: OUTSIDE }
  const [first] = measurementsOf(reading, 0)
  if (first === undefined) {
    const nothing = nothingMeasured(reading, [0])
    return { startupLocality: nothing, hcrtm: nothing }
  }
  const byProcessor = first.event.type === EV_EFI_HCRTM_EVENT
  const locality = byProcessor ? 4 : reading.facts.firmware.startupLocality
  return { startupLocality: known(locality, [first.event.index]), hcrtm: known(locality === 4, [first.event.index]) }
}

export function platformClaims(reading: Reading): PlatformClaims {
  const actions = measurementsOf(reading, ...PLATFORM_PCRS).flatMap(({ event, content }) =>
    content?.kind === 'action' ? [{ text: content.text, index: event.index }] : [],
  )
  const whether = (text: string, value: boolean, otherwise: string): Claim<boolean> => {
    const found = reading.facts.actions.filter((action) => action.text === text).map(({ event }) => event.index)
    return found.length > 0 ? known(value, found) : notSaid(reading, otherwise)
  }
  return {
    dmaProtection: whether(
      DMA_PROTECTION_DISABLED,
      false,
      `the firmware did not say "${DMA_PROTECTION_DISABLED}", and not all firmware does`,
    ),
    debugger: whether(
      UEFI_DEBUG_MODE,
      true,
      `the firmware did not say "${UEFI_DEBUG_MODE}", and not all firmware does`,
    ),
    setupEntered: whether(
      ENTERING_SETUP,
      true,
      `the firmware did not say "${ENTERING_SETUP}", and not all firmware does`,
    ),
    actions: listIn(
      reading,
      PLATFORM_PCRS,
      actions.map(({ text }) => text),
      actions.map(({ index }) => index),
    ),
  }
}

function notSaid(reading: Reading, otherwise: string): UnknownClaim {
  return measurementsOf(reading, 1, 7).length === 0 ? nothingMeasured(reading, [1, 7]) : unknown(otherwise)
}
