import { decodeDeviceSecurity, deviceSecurityText } from './device-security.ts'
import { guidText } from './guid.ts'
import { labelText } from './text.ts'

/**
 * What an EV_NO_ACTION event says. Nothing of it is measured, so all of it is hearsay, but the startup locality, which
 * the value of PCR 0 confirms or does not. `fields` by name, for people and for claims that are marked untrusted.
 */
export interface NoAction {
  readonly signature: string
  readonly fields: Readonly<Record<string, string>>
}

const SIGNATURE = 16

/** `undefined` where the payload does not begin with a signature: PC Client Platform Firmware Profile 1.06 section 10.4.5. */
export function decodeNoAction(data: Buffer): NoAction | undefined {
  const padded = data.subarray(0, SIGNATURE)
  const end = padded.indexOf(0)
  const signature = labelText(end === -1 ? padded : padded.subarray(0, end))
  if (signature === undefined || data.byteLength < SIGNATURE) return undefined
  const read = READERS.get(signature.trimEnd())
  return { signature: signature.trimEnd(), fields: read?.(data.subarray(SIGNATURE)) ?? {} }
}

export function noActionText({ signature, fields }: NoAction): string {
  const said = Object.entries(fields).map(([name, value]) => `${name} ${value}`)
  return said.length === 0 ? signature : `${signature}: ${said.join(', ')}`
}

type Reader = (rest: Buffer) => Readonly<Record<string, string>> | undefined

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['Spec ID Event00', specification],
  ['Spec ID Event02', specification],
  ['Spec ID Event03', specification],
  ['StartupLocality', (rest) => (rest[0] === undefined ? undefined : { locality: `${rest[0]}` })],
  ['SP800-155 Event', manifest],
  ['SP800-155 Event2', platform],
  ['SP800-155 Event3', locators],
  ['NvIndexInstance', nvInstance],
  ['NvIndexDynamic', nvDynamic],
])

/** TCG_EfiSpecIDEvent and its forerunners agree on these fields. */
function specification(rest: Buffer): ReturnType<Reader> {
  if (rest.byteLength < 8) return undefined
  const platforms = ['client', 'server']
  const platformClass = rest.readUInt32LE(0)
  return {
    version: `${rest[5] ?? 0}.${rest[4] ?? 0}`,
    errata: `${rest[6] ?? 0}`,
    platform: platforms[platformClass] ?? `${platformClass}`,
  }
}

/** Who made the reference manifest (IANA enterprise number), and which one it is. */
function manifest(rest: Buffer): ReturnType<Reader> {
  if (rest.byteLength < 20) return undefined
  return { vendor: `${rest.readUInt32LE(0)}`, manifest: guidText(rest, 4) }
}

const STRINGS = ['platform manufacturer', 'platform model', 'platform version', 'firmware manufacturer'] as const

function platform(rest: Buffer): ReturnType<Reader> {
  return platformAt(rest)?.fields
}

/** Strings with their length in one byte, NUL included; then the firmware's vendor by number, and its version. */
function platformAt(rest: Buffer): { readonly fields: Record<string, string>; readonly end: number } | undefined {
  const fields: Record<string, string> = { ...manifest(rest) }
  let at = 20
  const string = (): string | undefined => {
    const size = rest[at]
    if (size === undefined || at + 1 + size > rest.byteLength) return undefined
    const text = labelText(rest.subarray(at + 1, at + 1 + size)) ?? ''
    at += 1 + size
    return text
  }
  for (const name of STRINGS) {
    const text = string()
    if (text === undefined) return undefined
    if (text !== '') fields[name] = text
  }
  if (at + 4 > rest.byteLength) return undefined
  fields['firmware vendor'] = `${rest.readUInt32LE(at)}`
  at += 4
  const version = string()
  if (version === undefined) return undefined
  if (version !== '') fields['firmware version'] = version
  return { fields, end: at }
}

const LOCATORS = ['reference manifest', 'platform certificate']

/** The third version says where manifest and platform certificate are: a type, a length, and a URI or a path. */
function locators(rest: Buffer): ReturnType<Reader> {
  const before = platformAt(rest)
  if (before === undefined) return undefined
  let at = before.end
  for (const name of LOCATORS) {
    if (at + 8 > rest.byteLength) return before.fields
    const size = rest.readUInt32LE(at + 4)
    if (size > rest.byteLength - at - 8) return before.fields
    const location = rest.subarray(at + 8, at + 8 + size)
    const isUri = rest.readUInt32LE(at) === 1
    if (size > 0)
      before.fields[name] = isUri ? (labelText(location) ?? '') : `${size} bytes of type ${rest.readUInt32LE(at)}`
    at += 8 + size
  }
  return before.fields
}

/** TCG_NV_INDEX_INSTANCE_EVENT_LOG_STRUCT: what NV index 0x01c40200 was extended with. */
function nvInstance(rest: Buffer): ReturnType<Reader> {
  const device = rest.byteLength < 8 ? undefined : decodeDeviceSecurity(rest.subarray(8))
  return device === undefined ? undefined : { index: '0x01c40200', device: deviceSecurityText(device) }
}

/** TCG_NV_INDEX_DYNAMIC_EVENT_LOG_STRUCT: the nonces of the exchange, in NV index 0x01c40201. */
function nvDynamic(rest: Buffer): ReturnType<Reader> {
  if (rest.byteLength < 18) return undefined
  const end = 18 + rest.readUInt16LE(16)
  if (end > rest.byteLength) return undefined
  return { index: '0x01c40201', description: labelText(rest.subarray(18, end)) ?? '' }
}
