import { hash } from 'node:crypto'
import { parseImaLog, replayImaLog } from '../src/eventlog/index.ts'
import { perSecond } from './batch.ts'
import { compare, type Bench } from './framework.ts'

const ROUNDS = 15
const ENTRIES = 20_000

/** A kernel's log in `ima-ng`: one digest of SHA-256 and a path an entry. */
function imaLog(): Buffer {
  const parts: Buffer[] = []
  for (let entry = 0; entry < ENTRIES; entry += 1) {
    const digest = Buffer.concat([
      Buffer.from('sha256:\0', 'latin1'),
      Buffer.from(hash('sha256', `file ${entry}`), 'hex'),
    ])
    const name = Buffer.from(`/usr/lib/x86_64-linux-gnu/libexample-${entry}.so.1\0`, 'latin1')
    const data = Buffer.concat([u32(digest.byteLength), digest, u32(name.byteLength), name])
    const template = Buffer.from('ima-ng', 'latin1')
    const recorded = Buffer.from(hash('sha1', data), 'hex')
    parts.push(u32(10), recorded, u32(template.byteLength), template, u32(data.byteLength), data)
  }
  return Buffer.concat(parts)
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** From the bytes of the log to the register, in the bank's own hash. */
export const imaReplay: Bench = async () => {
  const bytes = imaLog()
  const { entries } = parseImaLog(bytes)
  const register = Buffer.alloc(64)
  const ours = perSecond(1, () => {
    if (replayImaLog(bytes, 'sha256').entries !== ENTRIES) throw new Error('entries are missing')
  })
  // Two digests an entry: of its template data, and of the register that it extends.
  const bare = perSecond(1, () => {
    for (const { templateData } of entries) {
      register.write(hash('sha256', templateData, 'binary'), 32, 'latin1')
      register.write(hash('sha256', register, 'binary'), 0, 'latin1')
    }
  })
  const entriesPerSecond = (sample: () => Promise<number>) => async () => ENTRIES * (await sample())
  return [await compare('ima-replay', ROUNDS, entriesPerSecond(ours), entriesPerSecond(bare))]
}
