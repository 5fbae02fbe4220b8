import { hash } from 'node:crypto'
import { z } from 'zod'
import { bytesSchema } from './bytes.ts'
import { LIMITS } from './limits.ts'
import { merkleProof } from './merkle.ts'
import { generation } from './placement-names.ts'

const structure = bytesSchema(LIMITS.structure)
const root = bytesSchema(32, 32)

/**
 * Linked evidence ties a guest's quote to its host's TPM: one quote by the host's AK covers which guests run on it (the
 * root of the ledger) and a batch of quotes that these guests made. `POST /v1/link` on the guest's own link socket asks
 * for it; the answer is the member `link` of the guest's evidence.
 */
export const linkRequest = z.strictObject({
  /** TPMS_ATTEST and TPMT_SIGNATURE of the guest's quote, as they go into its evidence. */
  quote: structure,
  signature: structure,
})

export const linkedEvidence = z.strictObject({
  /** NodeId of the host that quoted. */
  host: z.uuid(),
  /** TPMS_ATTEST and TPMT_SIGNATURE by the host's AK; its extraData is `linkQualifyingData` of both roots. */
  hostQuote: structure,
  hostSignature: structure,
  ledger: z.strictObject({
    root,
    guest: z.uuid(),
    generation,
    /** Name of the guest's EK: hash algorithm and digest. */
    ekName: bytesSchema(66, 22),
    proof: merkleProof,
  }),
  batch: z.strictObject({ root, proof: merkleProof }),
})

export type LinkRequest = z.output<typeof linkRequest>
export type LinkedEvidence = z.output<typeof linkedEvidence>

/** A running guest as its host's ledger has it. */
export interface LedgerLeaf {
  /** UUID, lower case. */
  readonly guest: string
  readonly generation: number
  readonly ekName: Uint8Array
}

/** A quote as a guest handed it in; the guest is known by the socket that it came on. */
export interface BatchLeaf {
  /** UUID, lower case. */
  readonly guest: string
  readonly quote: Uint8Array
  readonly signature: Uint8Array
}

/**
 * One leaf of the ledger's tree. The leaves are the running guests, ordered by UUID; each field is preceded by its
 * length in 4 bytes, so that two guests never share a leaf.
 */
export function ledgerLeaf({ guest, generation, ekName }: LedgerLeaf): Buffer {
  const count = Buffer.alloc(8)
  count.writeBigUInt64BE(BigInt(generation))
  return labelled('touchstone ledger leaf v1', [Buffer.from(guest, 'ascii'), count, ekName])
}

/**
 * One leaf of a batch: this very quote with this very signature, handed in by this guest. Without the guest, one guest
 * could have the quote of another's copy, running elsewhere, covered by the host on which that other one is at home.
 */
export function batchLeaf({ guest, quote, signature }: BatchLeaf): Buffer {
  return labelled('touchstone batch leaf v1', [Buffer.from(guest, 'ascii'), quote, signature])
}

/** The qualifying data of the host's quote: 32 bytes. No quote over a verifier's nonce can be one, or the other way. */
export function linkQualifyingData(batchRoot: Uint8Array, ledgerRoot: Uint8Array): Buffer {
  const label = Buffer.from('touchstone linked evidence v1', 'ascii')
  return hash('sha256', Buffer.concat([label, batchRoot, ledgerRoot]), 'buffer')
}

function labelled(label: string, fields: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    [Buffer.from(label, 'ascii'), ...fields].flatMap((field) => {
      const size = Buffer.alloc(4)
      size.writeUInt32BE(field.byteLength)
      return [size, field]
    }),
  )
}
