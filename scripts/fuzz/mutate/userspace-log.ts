import { createHash } from 'node:crypto'
import type { Random } from '../random.ts'
import { joinParts, mutatePart, splitParts } from '../parts.ts'
import { MAX_INPUT, mutateBytes, oddNumber, type Mutation } from './bytes.ts'
import { mutateTcgLog } from './tcg-log.ts'
import { putTogether, takeApart, type DigestPart } from './tcg-parts.ts'

type Json = Record<string, unknown>

const KINDS = [
  'phase',
  'filesystem',
  'machine-id',
  'product-id',
  'os-separator',
  'nvpcr-init',
  'volume-key',
  'x',
  1,
  null,
]
const TEXTS = ['', 'ready', 'shutdown', '.cmdline', '\\', '\\x41', 'os-separator', 'nvpcr-separator', '\u0000', 'é']
const REGISTERS = [0, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 23, 24, 0x1d10200, -1, 1.5, '11']
const BANKS: ReadonlyMap<number, string> = new Map([
  [4, 'sha1'],
  [0xb, 'sha256'],
  [0xc, 'sha384'],
  [0xd, 'sha512'],
])

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `undefined`: a record that cannot be read, and so not be changed but by its bytes. */
function recordsOf(log: Buffer): Json[] | undefined {
  try {
    const values = log.toString('utf8').split('\u001e').filter(Boolean)
    return values.map((text): unknown => JSON.parse(text)).filter(isRecord)
  } catch {
    return undefined
  }
}

function write(records: readonly Json[]): Buffer {
  return Buffer.from(records.map((record) => `\u001e${JSON.stringify(record)}\n`).join(''))
}

function contentOf(record: Json): Json {
  return isRecord(record['content']) ? record['content'] : {}
}

function digestsOf(record: Json): Json[] {
  return Array.isArray(record['digests']) ? record['digests'].filter(isRecord) : []
}

function said(record: Json, members: Json): void {
  record['content'] = { ...contentOf(record), ...members }
}

/** C escapes of some characters, as systemd writes what is not printable. */
function escaped(text: string, random: Random): string {
  const at = random.below(text.length)
  const octal = text.charCodeAt(at).toString(8).padStart(3, '0')
  return `${text.slice(0, at)}\\${octal}${text.slice(at + 1)}`
}

const CHANGES: readonly ((record: Json, random: Random, other: Json) => void)[] = [
  (record, random) => {
    said(record, { eventType: random.pick(KINDS) })
  },
  (record, random) => {
    said(record, { string: random.pick(TEXTS) })
  },
  (record, _random, other) => {
    said(record, { string: contentOf(other)['string'] })
  },
  (record, random) => {
    said(record, { string: escaped(String(contentOf(record)['string']), random) })
  },
  // Another kind, and another text: of kinds that nobody knows, that is no contradiction.
  (record, random, other) => {
    said(record, { string: contentOf(other)['string'], eventType: random.pick(KINDS) })
  },
  (record, random) => {
    record['pcr'] = random.pick(REGISTERS)
  },
  (record, random) => {
    record['digests'] = digestsOf(record).filter(() => random.chance(2))
  },
  (record) => {
    record['digests'] = digestsOf(record).reverse()
  },
  (record, random) => {
    const [first] = digestsOf(record)
    if (first !== undefined) first['hashAlg'] = random.pick(['sha1', 'sha256', 'sha384', 'SHA256', 'x', 11, 4, -1])
  },
  (record, _random, other) => {
    record['digests'] = digestsOf(other)
  },
  // Digests of what it says, so that it counts as measured.
  (record) => {
    const text = String(contentOf(record)['string'])
    for (const each of digestsOf(record)) {
      const name = [...BANKS.values()].find((bank) => bank === each['hashAlg'])
      if (name !== undefined) each['digest'] = createHash(name).update(text).digest('hex')
    }
  },
  (record, random) => {
    record[random.pick(['nv_index', 'rtmr', 'recnum', 'content_type', 'x', '__proto__'])] = oddNumber(random)
  },
  (record, random) => {
    Reflect.deleteProperty(record, random.pick(['pcr', 'digests', 'content', 'content_type']))
  },
]

/** Records of systemd, one of them changed, lost, doubled or moved; now and then bytes. */
const mutateUserspaceLog: Mutation = (input, random, other) => {
  const records = recordsOf(input)
  if (records === undefined || records.length === 0 || random.chance(4)) return mutateBytes(input, random, other)
  const at = random.below(records.length)
  const record = structuredClone(random.pick(records))
  switch (random.below(6)) {
    case 0:
      records.splice(at, 1)
      break
    case 1:
      records.splice(at, 0, record)
      break
    case 2:
      records.push(...records.splice(at, 1))
      break
    default: {
      const changed = structuredClone(records[at] ?? record)
      random.pick(CHANGES)(changed, random, record)
      records[at] = changed
    }
  }
  const written = random.chance(12) ? Buffer.from(JSON.stringify(records)) : write(records)
  return written.subarray(0, MAX_INPUT)
}

/** An event of the boot, told as what systemd measured first; or the other way about. No register holds another value. */
function moveBetween(firmware: Buffer, userspace: Buffer, random: Random): Buffer[] {
  const log = takeApart(firmware)
  const records = recordsOf(userspace)
  if (records === undefined) return [firmware, userspace]
  if (log.events.length === 0 || random.chance(3)) {
    const [first] = records.splice(0, 1)
    const digests = first === undefined ? [] : digestsOf(first).flatMap(partOf)
    const data = Buffer.from(String(first === undefined ? '' : contentOf(first)['string']))
    const pcr = Number(first?.['pcr'])
    log.events.push({ pcr, type: random.pick([0x0d, 0x06, 0x05, 0x80000003]), digests, data })
  } else {
    const pcr = random.pick(log.events.map((event) => event.pcr))
    const at = log.events.findLastIndex((event) => event.pcr === pcr)
    const [event] = log.events.splice(at, 1)
    const digests = (event?.digests ?? []).map(({ id, bytes }) => ({
      hashAlg: BANKS.get(id) ?? id,
      digest: bytes.toString('hex'),
    }))
    const text = random.pick([
      event?.data.toString('utf8') ?? '',
      event?.data.toString('utf8').replace(/\0$/, '') ?? '',
    ])
    const content = { string: text, eventType: random.pick(KINDS) }
    records.unshift({ pcr, digests, content_type: 'systemd', content })
  }
  return [putTogether(log), write(records)]
}

function partOf({ hashAlg, digest }: Json): DigestPart[] {
  const [id] = [...BANKS].find(([, name]) => name === hashAlg) ?? []
  return id === undefined ? [] : [{ id, bytes: Buffer.from(String(digest), 'hex') }]
}

const mutateOne = mutatePart([mutateTcgLog, mutateUserspaceLog])

/** A firmware log and a log of systemd: one of them changed, or an event moved from one to the other. */
export const mutateBothLogs: Mutation = (input, random, other) => {
  const [firmware, userspace] = splitParts(input)
  if (firmware === undefined || userspace === undefined || !random.chance(4)) return mutateOne(input, random, other)
  return joinParts(moveBetween(firmware, userspace, random)).subarray(0, MAX_INPUT)
}
