import { createHmac } from 'node:crypto'
import { equalBytes, fromHex, toHex } from '../../core/index.ts'
import { formatHead, type AuditEntry, type ChainHead, type Members } from './audit-entry.ts'

const LABEL = 'touchstone audit checkpoint v1'

type Checkpoint = Extract<AuditEntry, { event: 'checkpoint' }>

/** What one vouches for: entries of a chain that the writing process has appended itself. */
export interface Vouched {
  /** Name of the chain; see {@link NODE_CHAIN}. */
  readonly chain: string
  readonly from: number
  readonly through: ChainHead
}

/**
 * The members of a checkpoint that comes after `head` of the node's chain. Its MAC covers that head as well, so that none can
 * be moved. `key` opens only in a boot that was released: whoever has nothing but the disk cannot make one.
 */
export function checkpointMembers(key: Uint8Array, { chain, from, through }: Vouched, head: ChainHead): Members {
  const last = formatHead(through)
  return { event: 'checkpoint', chain, from, through: last, mac: toHex(macOf(key, chain, from, last, head.hash)) }
}

export function isAuthentic(key: Uint8Array, { chain, from, through, prev, mac }: Checkpoint): boolean {
  return equalBytes(macOf(key, chain, from, through, prev), fromHex(mac) ?? Buffer.alloc(0))
}

function macOf(key: Uint8Array, ...said: readonly (string | number)[]): Buffer {
  return createHmac('sha256', key)
    .update(JSON.stringify([LABEL, ...said]))
    .digest()
}
