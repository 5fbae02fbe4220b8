import { hash } from 'node:crypto'
import type { EventLog, ReplayBank } from '../src/eventlog/index.ts'
import { HASHES } from '../src/tpm/index.ts'

const EV_NO_ACTION = 3

/**
 * The hashing that a log cannot be judged without, and nothing else: each measured payload once, each extend once.
 * `plain`: node:crypto's one-shot function as its documentation shows it, which gives a Buffer. `tight`: the way that costs
 * least here, to a binary string that is written back into the register; that is how this program hashes too.
 */
export function bareHashing(log: EventLog, bank: ReplayBank): Readonly<Record<'plain' | 'tight', () => void>> {
  const { node, size } = HASHES[bank]
  const measured = log.events.flatMap(({ type, digests, data, pcr }) => {
    const digest = type === EV_NO_ACTION ? undefined : digests.get(bank)
    return digest === undefined ? [] : [{ digest, data, pcr }]
  })
  const registers = Array.from({ length: 24 }, () => Buffer.alloc(2 * size))
  const spare = Buffer.alloc(2 * size)
  return {
    plain() {
      for (const { digest, data, pcr } of measured) {
        hash(node, data, 'buffer')
        const register = registers[pcr] ?? spare
        register.set(digest, size)
        register.set(hash(node, register, 'buffer'))
      }
    },
    tight() {
      for (const { digest, data, pcr } of measured) {
        hash(node, data, 'binary')
        const register = registers[pcr] ?? spare
        register.set(digest, size)
        register.write(hash(node, register, 'binary'), 0, 'latin1')
      }
    },
  }
}
