/** Names under which the device mapper measures; the part behind `dm_` alone in the documentation's older examples. */
const EVENTS = ['dm_table_load', 'dm_device_resume', 'dm_device_remove', 'dm_table_clear', 'dm_device_rename'] as const
export type DeviceMapperEvent = (typeof EVENTS)[number]

export function deviceMapperEvent(name: string): DeviceMapperEvent | undefined {
  return EVENTS.find((event) => event === name)
}

/** One row of a table: what lies in a range of the device's sectors, and how it was configured. */
export interface DeviceTarget {
  /** `verity`, `crypt`, `linear`, … */
  readonly type: string
  /** Every attribute that was measured, by its name: `root_digest`, `verity_algorithm`, `cipher_string`, … */
  readonly attributes: ReadonlyMap<string, string>
}

export interface DeviceTable {
  readonly name: string
  readonly uuid: string
  readonly targets: readonly DeviceTarget[]
}

const MAX_TARGETS = 1024

/**
 * The table that a `dm_table_load` measured, or `undefined` where the text is none. A table that is too long for one
 * measurement is measured in parts, each with the device before its targets, so a target never spans two. O(n).
 *
 * Source: Linux `Documentation/admin-guide/device-mapper/dm-ima.rst`, `drivers/md/dm-ima.c`.
 */
export function readDeviceTable(text: string): DeviceTable | undefined {
  const sections = splitEscaped(text, ';').filter((section) => section !== '')
  const rows = sections.map(attributesOf)
  if (rows.length > MAX_TARGETS + 2 || rows.some((row) => row === undefined)) return undefined
  const [first, ...others] = rows.flatMap((row) => row ?? [])
  const [device, ...targets] =
    first?.has('dm_version') === true ? others : first === undefined ? [] : [first, ...others]
  const name = device?.get('name')
  if (device === undefined || name === undefined) return undefined
  const read = targets.map((attributes) => ({ type: attributes.get('target_name') ?? '', attributes }))
  if (read.some(({ type }) => type === '')) return undefined
  return { name, uuid: device.get('uuid') ?? '', targets: read }
}

/** The name that a `dm_device_rename` gave to a device, or `undefined` where the text is none. O(n). */
export function readDeviceRename(text: string): string | undefined {
  const rows = splitEscaped(text, ';').map((section) => (section === '' ? undefined : attributesOf(section)))
  return rows.find((row) => row?.has('new_name') === true)?.get('new_name')
}

/** `key=value,key=value`; a name that occurs twice says two things, and is not read. */
function attributesOf(section: string): ReadonlyMap<string, string> | undefined {
  const attributes = new Map<string, string>()
  for (const pair of splitEscaped(section, ',')) {
    const at = indexOfUnescaped(pair, '=')
    const key = at < 1 ? '' : pair.slice(0, at)
    if (key === '' || attributes.has(key)) return undefined
    attributes.set(key, unescape(pair.slice(at + 1)))
  }
  return attributes
}

/** A separator behind a backslash is part of a value. */
function splitEscaped(text: string, separator: string): string[] {
  const parts: string[] = []
  let start = 0
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at += 1
    else if (text[at] === separator) {
      parts.push(text.slice(start, at))
      start = at + 1
    }
  }
  parts.push(text.slice(start))
  return parts
}

function indexOfUnescaped(text: string, separator: string): number {
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at += 1
    else if (text[at] === separator) return at
  }
  return -1
}

function unescape(value: string): string {
  return value.replace(/\\(.)/gs, '$1')
}
