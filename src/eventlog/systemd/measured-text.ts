import { hash } from 'node:crypto'
import { CONTENT_SYSTEMD } from '../event-types.ts'
import { isObject } from '../json-records.ts'
import { REPLAY_BANKS, type LogEvent } from '../log.ts'
import { HASHES } from '../../tpm/index.ts'

type Content = Pick<LogEvent, 'type' | 'data' | 'attributes' | 'label'>

/** systemd `src/pcrextend`: what is measured is logged escaped, and cut where it is longer. */
const SAFE_LIMIT = 1024
const CUT = '...'

/**
 * Kinds whose digest is that of the text, so that another digest is a contradiction. Keys of volumes and credentials are
 * measured as an HMAC with the secret as key, which nobody can check; of kinds to come nothing is known.
 */
const PLAIN: ReadonlySet<string> = new Set([
  'phase',
  'filesystem',
  'machine-id',
  'product-id',
  'keyslot',
  'nvpcr-init',
  'nvpcr-separator',
  'dm-verity',
  'os-separator',
  'login',
])

/** Members that are said of an event and are not measured. */
const ATTRIBUTES = ['eventType', 'bootId', 'timestamp', 'nvIndexName'] as const

/**
 * The content of a record of systemd: the payload is the text that was measured, as far as the record has it.
 * At most one hash an event and bank, and only where the text has an escape.
 *
 * Source: systemd `docs/TPM2_PCR_MEASUREMENTS.md`, `src/shared/tpm2-util.c`, `src/pcrextend/pcrextend.c`.
 */
export function systemdRecord(content: unknown, digests: ReadonlyMap<string, Buffer>): Content | undefined {
  if (!isObject(content)) return undefined
  const { string } = content
  const attributes: Record<string, string | number> = {}
  for (const name of ATTRIBUTES) {
    const value = content[name]
    if (typeof value === 'string' || typeof value === 'number') attributes[name] = value
  }
  const text = typeof string === 'string' ? string : ''
  const data = measured(text, digests)
  const isCut = text.endsWith(CUT) && text.length > SAFE_LIMIT
  const isPlain = typeof string === 'string' && !isCut && PLAIN.has(String(attributes['eventType']))
  return { type: CONTENT_SYSTEMD, data, attributes, ...(isPlain ? {} : { label: true }) }
}

/** The text with or without its escapes, whichever was measured. */
function measured(text: string, digests: ReadonlyMap<string, Buffer>): Buffer {
  const bytes = Buffer.from(text, 'utf8')
  if (!text.includes('\\')) return bytes
  const plain = unescaped(bytes)
  const bank = REPLAY_BANKS.find((name) => digests.has(name))
  const isMeasured = bank !== undefined && digests.get(bank)?.equals(hash(HASHES[bank].node, plain, 'buffer')) === true
  return isMeasured ? plain : bytes
}

const SINGLE: Readonly<Record<string, number>> = {
  a: 0x07,
  b: 0x08,
  f: 0x0c,
  n: 0x0a,
  r: 0x0d,
  t: 0x09,
  v: 0x0b,
  s: 0x20,
  '\\': 0x5c,
  '"': 0x22,
  "'": 0x27,
}

/** systemd `src/basic/escape.c`: C escapes, of which octal ones stand for bytes. What is none stays as it is. O(n). */
function unescaped(bytes: Buffer): Buffer {
  const plain = Buffer.alloc(bytes.byteLength)
  let size = 0
  for (let at = 0; at < bytes.byteLength;) {
    const byte = bytes[at] ?? 0
    const sequence = byte === 0x5c ? bytes.toString('latin1', at + 1, at + 4) : ''
    const single = SINGLE[sequence.charAt(0)]
    const octal = /^[0-3][0-7]{2}$/.test(sequence) ? Number.parseInt(sequence, 8) : undefined
    const hex = /^x[0-9a-f]{2}$/i.test(sequence) ? Number.parseInt(sequence.slice(1), 16) : undefined
    plain[size++] = octal ?? hex ?? single ?? byte
    at += octal !== undefined || hex !== undefined ? 4 : single !== undefined ? 2 : 1
  }
  return plain.subarray(0, size)
}
