import { decodeTaggedEvents } from './tagged.ts'
import { utf16Text } from './text.ts'
import { AGGREGATION, WINDOWS_EVENTS, type WindowsValueKind } from './windows-event-types.ts'
import { readWindowsStructure } from './windows-structures.ts'

/** A value by its layout. `bytes` is also what does not have the size or form that its type has. */
export type WindowsValue =
  | { readonly kind: 'flag'; readonly value: boolean }
  | { readonly kind: 'number'; readonly value: bigint }
  | { readonly kind: 'text'; readonly value: string }
  /** A structure by the names of its fields: hashes in hex, times in RFC 3339. */
  | { readonly kind: 'fields'; readonly value: Readonly<Record<string, string>> }
  | { readonly kind: 'bytes'; readonly value: Buffer }
  | { readonly kind: 'events'; readonly value: readonly WindowsEvent[] }

export interface WindowsEvent {
  readonly id: number
  /** `SIPAEVENT_…` without its prefix; absent for an id that this program does not know. */
  readonly name?: string
  readonly value: WindowsValue
}

/** Windows nests three deep. What lies deeper is left as bytes, so that a self-similar payload costs no more. */
const MAX_DEPTH = 6

/** Whether a payload is filled by tagged events of which the first is one of Windows' own. No value is read. */
export function isWindowsLog(data: Buffer): boolean {
  const [first] = decodeTaggedEvents(data) ?? []
  return first !== undefined && WINDOWS_EVENTS.has(first.id)
}

/**
 * The events of the Windows boot configuration log in one tagged event (PCR 12 to 14, and trust points), nested ones
 * included; `undefined` where {@link isWindowsLog} does not hold. What was measured, if the event around them is bound. O(bytes), whatever is nested in what.
 */
export function readWindowsEvents(data: Buffer): WindowsEvent[] | undefined {
  return isWindowsLog(data) ? eventsOf(data, 0) : undefined
}

function eventsOf(data: Buffer, depth: number): WindowsEvent[] | undefined {
  return decodeTaggedEvents(data)?.map(({ id, data: content }) => {
    const type = WINDOWS_EVENTS.get(id)
    const nested = (id & AGGREGATION) !== 0 && depth < MAX_DEPTH ? eventsOf(content, depth + 1) : undefined
    const value: WindowsValue =
      nested === undefined ? valueOf(type?.value ?? 'bytes', content) : { kind: 'events', value: nested }
    return { id, ...(type === undefined ? {} : { name: type.name }), value }
  })
}

function valueOf(kind: WindowsValueKind, content: Buffer): WindowsValue {
  const size = content.byteLength
  if (kind === 'text') return { kind, value: utf16Text(content).replace(/\0+$/, '') }
  if (kind === 'flag' && size >= 1 && size <= 8) return { kind, value: content.some((byte) => byte !== 0) }
  if (NUMBERS.has(kind) && size >= 1 && size <= 8) return { kind: 'number', value: unsigned(content) }
  const fields = readWindowsStructure(kind, content)
  return fields === undefined ? { kind: 'bytes', value: content } : { kind: 'fields', value: fields }
}

const NUMBERS: ReadonlySet<WindowsValueKind> = new Set<WindowsValueKind>(['number', 'algorithm', 'unlock', 'device'])

function unsigned(bytes: Buffer): bigint {
  let value = 0n
  for (let at = bytes.byteLength - 1; at >= 0; at--) value = (value << 8n) | BigInt(bytes[at] ?? 0)
  return value
}
