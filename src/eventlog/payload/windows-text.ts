import { printable } from './text.ts'
import {
  AUTHENTICODE_HASH,
  AUTHORITY_PUBLISHER,
  FILE_PATH,
  LOADED_MODULE,
  TRUST_BOUNDARY,
  WINDOWS_EVENTS,
} from './windows-event-types.ts'
import type { WindowsEvent } from './windows-events.ts'

/** What a reader of one line wants first: settings, then what was loaded. `limit`: how many items at most. */
export function windowsText(events: readonly WindowsEvent[], limit = 40): string {
  const flat = events.flatMap(childrenOfBoundary)
  const items: string[] = []
  let modules = 0
  for (const event of flat) {
    if (event.id !== LOADED_MODULE) items.push(windowsEventText(event))
    else if (modules++ < MAX_MODULES) items.push(moduleText(event))
  }
  if (modules > MAX_MODULES) items.push(`${modules} modules`)
  const shown = items.slice(0, limit)
  return [...shown, ...(items.length > shown.length ? [`${items.length - shown.length} more`] : [])].join('; ')
}

const MAX_MODULES = 3

/** The outermost container says nothing by itself. */
export function childrenOfBoundary(event: WindowsEvent): readonly WindowsEvent[] {
  return event.id === TRUST_BOUNDARY && event.value.kind === 'events' ? event.value.value : [event]
}

/** One event in words: `boot debugging off`, `module winload.efi (Microsoft Windows)`. */
export function windowsEventText(event: WindowsEvent): string {
  if (event.id === LOADED_MODULE) return moduleText(event)
  const type = WINDOWS_EVENTS.get(event.id)
  const label = type?.label ?? `event 0x${event.id.toString(16)}`
  const { value } = event
  switch (value.kind) {
    case 'flag':
      return `${label} ${value.value ? 'on' : 'off'}`
    case 'number':
      return `${label} ${numberText(type?.value, value.value)}`
    case 'text':
      return `${label} ${printable(value.value)}`
    case 'fields':
      return `${label} ${Object.entries(value.value)
        .map(([name, text]) => `${name} ${printable(text.length > MAX_HEX ? `${text.slice(0, MAX_HEX)}…` : text)}`)
        .join(' ')}`
    case 'bytes':
      return `${label} ${bytesText(value.value)}`
    case 'events':
      return `${label} (${value.value.map(windowsEventText).join(', ')})`
  }
}

const MAX_HEX = 64

function bytesText(bytes: Buffer): string {
  const hex = bytes.toString('hex', 0, MAX_HEX / 2)
  return bytes.byteLength > MAX_HEX / 2 ? `${hex}… (${bytes.byteLength} bytes)` : hex
}

/** `path (publisher)`, or the hash of a module that is said without its path. */
function moduleText({ value }: WindowsEvent): string {
  const parts = value.kind === 'events' ? value.value : []
  const text = (id: number): string | undefined => {
    const part = parts.find((each) => each.id === id)
    return part?.value.kind === 'text' ? printable(part.value.value) : undefined
  }
  const hash = parts.find(({ id }) => id === AUTHENTICODE_HASH)?.value
  const path = text(FILE_PATH)
  const publisher = text(AUTHORITY_PUBLISHER)
  const name = path ?? (hash?.kind === 'bytes' ? bytesText(hash.value) : 'without a name')
  return `module ${name}${publisher === undefined ? '' : ` (${publisher})`}`
}

/** Which of BitLocker's protectors opened a volume: FVEB_UNLOCK_FLAG. */
const UNLOCKS = ['cached key', 'medium', 'TPM', '', 'PIN', 'external key', 'recovery', 'passphrase', 'network']

const DEVICES: ReadonlyMap<bigint, string> = new Map([
  [0x10001n, 'hard disk'],
  [0x10002n, 'removable disk'],
  [0x10003n, 'CD-ROM'],
  [0x10004n, 'partition'],
  [0x10005n, 'file'],
  [0x10006n, 'RAM disk'],
  [0x10007n, 'virtual hard disk'],
  [0x20000n, 'serial line'],
  [0x30000n, 'UDP'],
  [0x40000n, 'VMBus'],
  [0x50000n, 'composite device'],
  [0x60000n, 'CIM file system'],
])

/** ALG_ID of wincrypt.h. */
const ALGORITHMS: ReadonlyMap<bigint, string> = new Map([
  [0x8003n, 'md5'],
  [0x8004n, 'sha1'],
  [0x800cn, 'sha256'],
  [0x800dn, 'sha384'],
  [0x800en, 'sha512'],
])

function numberText(kind: string | undefined, value: bigint): string {
  if (kind === 'unlock') {
    const how = UNLOCKS.filter((name, bit) => name !== '' && (value & (1n << BigInt(bit))) !== 0n)
    return how.length === 0 ? (value === 0n ? 'nothing' : `0x${value.toString(16)}`) : how.join(' and ')
  }
  if (kind === 'device') return DEVICES.get(value) ?? `0x${value.toString(16)}`
  if (kind === 'algorithm') return ALGORITHMS.get(value) ?? `0x${value.toString(16)}`
  return value.toString()
}
