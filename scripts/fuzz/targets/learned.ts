import { learnManifests, readBootImage } from '../../../src/attest/index.ts'
import { manifest } from '../../../test/attest/learn/manifest-bytes.ts'
import { mutateBytes } from '../mutate/bytes.ts'
import type { Target } from '../target.ts'

const TERMS = { name: 'fuzz', bank: 'sha256', state: 'active', now: Date.UTC(2026, 0, 1) } as const

export const manifestTarget: Target = {
  name: 'manifest',
  promise: 'any bytes are a manifest of reference values or refused with a code',
  seeds: () => [
    manifest('one', [registers(0, 7)]),
    manifest('two', [
      registers(17),
      new Map<number, unknown>([
        [0, 'kernel'],
        [1, new Map([[2, [[1, Buffer.alloc(32, 1)]]]])],
      ]),
    ]),
  ],
  mutate: mutateBytes,
  run(input) {
    const { documents, notes } = learnManifests([{ name: 'fuzz', bytes: input }], [], TERMS)
    return {
      features: [`${documents.length} documents`, ...notes.map(({ ...note }) => Object.keys(note).join())],
      answer: documents,
    }
  },
}

function registers(...pcrs: readonly number[]): unknown {
  const values = pcrs.map((pcr) => [pcr, [[1, Buffer.alloc(32, pcr)]]] as const)
  return new Map([[1, new Map([[14, new Map(values)]])]])
}

export const imageTarget: Target = {
  name: 'image',
  promise: 'any bytes are an image that a firmware boots or refused with a code',
  seeds: () => [
    peImage({ '.text': Buffer.alloc(64, 0x90) }),
    peImage({
      '.sdmagic': Buffer.from('#### LoaderInfo: systemd-stub 252 ####'),
      '.osrel': Buffer.from('ID=edge\nPRETTY_NAME="Edge 14.2"\n'),
      '.cmdline': Buffer.from('root=/dev/sda1 ro'),
      '.linux': peImage({ '.text': Buffer.alloc(128, 0x90) }),
      '.initrd': Buffer.alloc(256, 1),
    }),
  ],
  mutate: mutateBytes,
  run(input) {
    const image = readBootImage('fuzz.efi', input, 'sha256')
    const features = Object.entries<unknown>({ ...image }).map(([name, value]) => {
      return `${name} ${Array.isArray(value) ? value.length : typeof value}`
    })
    return { features, answer: image.label }
  },
}

const PE_AT = 0x80
const OPTIONAL_SIZE = 240
const ALIGNMENT = 0x200

/** PE32+ with these sections, for x86-64. */
function peImage(sections: Readonly<Record<string, Buffer>>): Buffer {
  const entries = Object.entries(sections)
  const headers = aligned(PE_AT + 24 + OPTIONAL_SIZE + 40 * entries.length)
  const head = Buffer.alloc(headers)
  head.write('MZ')
  head.writeUInt32LE(PE_AT, 0x3c)
  head.write('PE\0\0', PE_AT, 'latin1')
  head.writeUInt16LE(0x8664, PE_AT + 4)
  head.writeUInt16LE(entries.length, PE_AT + 6)
  head.writeUInt16LE(OPTIONAL_SIZE, PE_AT + 20)
  const optional = PE_AT + 24
  head.writeUInt16LE(0x20b, optional)
  head.writeUInt32LE(ALIGNMENT, optional + 36)
  head.writeUInt32LE(headers, optional + 60)
  head.writeUInt32LE(16, optional + 108)
  let at = headers
  const bodies = entries.map(([name, content], index) => {
    const row = optional + OPTIONAL_SIZE + 40 * index
    const size = aligned(content.byteLength)
    head.write(name, row, 'latin1')
    head.writeUInt32LE(content.byteLength, row + 8)
    head.writeUInt32LE(0x1000 * (index + 1), row + 12)
    head.writeUInt32LE(size, row + 16)
    head.writeUInt32LE(at, row + 20)
    at += size
    return Buffer.concat([content, Buffer.alloc(size - content.byteLength)])
  })
  return Buffer.concat([head, ...bodies])
}

function aligned(size: number): number {
  return Math.ceil(size / ALIGNMENT) * ALIGNMENT
}
