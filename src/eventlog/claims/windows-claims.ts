import { toHex } from '../../core/index.ts'
import type { WindowsEvent } from '../payload/windows-events.ts'
import type { WindowsClaims, WindowsModuleClaim } from './boot-claims.ts'
import { known, listed, unknown, type Claim, type ListClaim, type UnknownClaim } from './claim.ts'
import { missing, type Reading } from './reading.ts'
import type { PlacedWindowsEvent, WindowsReading } from './windows-reading.ts'

/** What Windows' boot manager and loader say of the boot: wbcl.h of the Windows SDK. */
export function windowsClaims(reading: Reading, windows: WindowsReading): WindowsClaims {
  const flag = (name: string): Claim<boolean> => agreed(reading, windows, name, flagOf)
  const number = (name: string): Claim<number> => agreed(reading, windows, name, numberOf)
  return {
    bootDebugging: flag('BOOTDEBUGGING'),
    kernelDebugging: flag('OSKERNELDEBUG'),
    hypervisorDebugging: flag('HYPERVISOR_DEBUG'),
    testSigning: flag('TESTSIGNING'),
    flightSigning: flag('FLIGHTSIGNING'),
    codeIntegrity: flag('CODEINTEGRITY'),
    safeMode: flag('SAFEMODE'),
    winPe: flag('WINPE'),
    dataExecutionPrevention: number('DATAEXECUTIONPREVENTION'),
    hypervisorLaunchType: number('HYPERVISOR_LAUNCH_TYPE'),
    vsmLaunchType: number('VSM_LAUNCH_TYPE'),
    vsmRequired: flag('VBS_VSM_REQUIRED'),
    iommuRequired: flag('VBS_IOMMU_REQUIRED'),
    secureBootRequired: flag('VBS_SECUREBOOT_REQUIRED'),
    bootDmaProtection: flag('HYPERVISOR_BOOT_DMA_PROTECTION'),
    bootRevocationListTime: agreed(reading, windows, 'BOOT_REVOCATION_LIST', revocationTimeOf),
    bootCounter: agreed(reading, windows, 'BOOTCOUNTER', decimalOf),
    bitlockerUnlock: listOf(reading, windows, 'BITLOCKER_UNLOCK', 12, numberOf),
    elamDrivers: listOf(reading, windows, 'ELAM_KEYNAME', 12, textOf),
    modules: listOf(reading, windows, 'LOADEDMODULE_AGGREGATION', 13, moduleOf),
  }
}

function noWindows(reading: Reading): UnknownClaim {
  return missing(reading, [12, 13], 'nothing was measured as Windows’ boot manager does')
}

type Value<T> = (event: WindowsEvent, index: number) => T | undefined

/** A value that every stage that names it gives alike. */
function agreed<T extends boolean | number | string>(
  reading: Reading,
  { events, first, gap }: WindowsReading,
  name: string,
  valueOf: Value<T>,
): Claim<T> {
  if (first === undefined) return noWindows(reading)
  if (gap !== undefined) return unknown(gap.reason, gap.events)
  const found = events.filter(({ event }) => event.name === name)
  const indices = [...new Set(found.map(({ index }) => index))]
  const values = new Set(found.map(({ event, index }) => valueOf(event, index)))
  const [value] = values
  if (found.length === 0) return unknown(`Windows did not say ${name}`)
  if (values.size > 1) return unknown(`Windows' boot manager and loader differ in ${name}`, indices)
  return value === undefined ? unknown(`${name} has not the form that it should have`, indices) : known(value, indices)
}

/** Everything of a name that one register has, in order. */
function listOf<T>(
  reading: Reading,
  { events, first, gap }: WindowsReading,
  name: string,
  pcr: number,
  valueOf: Value<T>,
): ListClaim<T> {
  if (first === undefined) return noWindows(reading)
  const found = events.filter((each: PlacedWindowsEvent) => each.event.name === name && each.pcr === pcr)
  const indices = [...new Set(found.map(({ index }) => index))]
  const values = found.map(({ event, index }) => valueOf(event, index)).filter((value) => value !== undefined)
  if (values.length === found.length) return listed(values, indices, gap)
  return listed(values, indices, { reason: `not every ${name} has the form that it should have`, events: indices })
}

function flagOf({ value }: WindowsEvent): boolean | undefined {
  return value.kind === 'flag' ? value.value : undefined
}

function numberOf({ value }: WindowsEvent): number | undefined {
  return value.kind === 'number' && value.value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value.value) : undefined
}

function decimalOf({ value }: WindowsEvent): string | undefined {
  return value.kind === 'number' ? value.value.toString() : undefined
}

/** Paths and names; longer ones exist nowhere. */
const MAX_TEXT = 1024

function textOf({ value }: WindowsEvent): string | undefined {
  return value.kind === 'text' && value.value.length <= MAX_TEXT ? value.value : undefined
}

function revocationTimeOf({ value }: WindowsEvent): string | undefined {
  return value.kind === 'fields' ? value.value['created'] : undefined
}

function moduleOf({ value }: WindowsEvent, index: number): WindowsModuleClaim | undefined {
  if (value.kind !== 'events') return undefined
  const part = (name: string): WindowsEvent | undefined => value.value.find((each) => each.name === name)
  const path = part('FILEPATH')
  const text = path === undefined ? undefined : textOf(path)
  if (text === undefined) return undefined
  const digest = part('AUTHENTICODEHASH')?.value
  const issuer = part('AUTHORITYISSUER')
  const issuerText = issuer === undefined ? undefined : textOf(issuer)
  const validated = part('IMAGEVALIDATED')
  const isValidated = validated === undefined ? undefined : flagOf(validated)
  return {
    path: text,
    ...(digest?.kind === 'bytes' && digest.value.byteLength <= 64 ? { digest: toHex(digest.value) } : {}),
    ...(issuerText === undefined ? {} : { issuer: issuerText }),
    ...(isValidated === undefined ? {} : { validated: isValidated }),
    event: index,
  }
}
