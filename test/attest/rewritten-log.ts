import type { LogEvent } from '../../src/eventlog/log.ts'
import { eventTypeName } from '../../src/eventlog/event-types.ts'
import { parseEventLog } from '../../src/eventlog/parse.ts'
import { HASHES, type HashName } from '../../src/tpm/index.ts'
import { digestOf, event, type EventSpec } from '../eventlog/build-log.ts'

/** What takes the place of an event; type, register and, where nothing is said, payload stay. */
export type Rewritten = Partial<Pick<EventSpec, 'data' | 'measured' | 'digests'>>

/**
 * A real crypto-agile log with some events as another boot would have measured them: with the digests that such a boot's firmware
 * and loaders make of them. `undefined` leaves an event as it is.
 */
export function rewriteLog(bytes: Buffer, rewrite: (event: LogEvent, name: string) => Rewritten | undefined): Buffer {
  const { events, banks } = parseEventLog(bytes)
  const known = Object.keys(HASHES) as HashName[]
  const hashes = known.filter((hash) => banks.includes(hash))
  const parts = events.map((each, at) => {
    const end = each.data.byteOffset - bytes.byteOffset + each.data.byteLength
    const by = at === 0 ? undefined : rewrite(each, eventTypeName(each.type))
    if (by === undefined) return bytes.subarray(each.offset, end)
    const { pcr, type, data } = each
    return event({ pcr, type, data, ...by }, inOrder(hashes, banks))
  })
  return Buffer.concat(parts)
}

function inOrder(hashes: readonly HashName[], banks: readonly string[]): readonly HashName[] {
  return hashes.toSorted((a, b) => banks.indexOf(a) - banks.indexOf(b))
}

/** A text of GRUB with other words, and its digest by the same rule as before: with the NUL at its end, or without. */
export function rewriteText({ data, digests }: LogEvent, change: (text: string) => string): Rewritten | undefined {
  const nul = data.at(-1) === 0 ? '\0' : ''
  const whole = data.toString('utf8', 0, data.byteLength - nul.length)
  const [, prefix = '', text = ''] = /^(\w+:? )(.*)$/s.exec(whole) ?? []
  const now = change(text)
  if (now === text) return undefined
  const coversNul = digests.get('sha256')?.equals(digestOf('sha256', `${text}${nul}`)) === true
  return { data: `${prefix}${now}${nul}`, measured: coversNul ? `${now}${nul}` : now }
}

/** The value of a variable, and the same event with another one. */
export function variableOf({ data }: LogEvent): { readonly name: string; readonly value: Buffer } | undefined {
  if (data.byteLength < 32) return undefined
  const [length, size] = [Number(data.readBigUInt64LE(16)), Number(data.readBigUInt64LE(24))]
  const start = 32 + length * 2
  if (start + size !== data.byteLength) return undefined
  return { name: data.toString('utf16le', 32, start), value: data.subarray(start) }
}

export function withValue({ data }: LogEvent, value: Buffer, covers: 'value' | 'all'): Rewritten {
  const length = Number(data.readBigUInt64LE(16))
  const head = Buffer.from(data.subarray(0, 32 + length * 2))
  head.writeBigUInt64LE(BigInt(value.byteLength), 24)
  const whole = Buffer.concat([head, value])
  return { data: whole, measured: covers === 'value' ? value : whole }
}
