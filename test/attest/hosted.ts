import { createHash } from 'node:crypto'
import type { AppraisalInput, GuestContext, KnownHost } from '../../src/attest/index.ts'
import { nameOf, parsePcrSelection, spkiOf } from '../../src/tpm/index.ts'
import type { PcrSelection } from '../../src/tpm/index.ts'
import { batchLeaf, ledgerLeaf, linkQualifyingData, merkleTree } from '../../src/wire/index.ts'
import type { LinkedEvidence } from '../../src/wire/index.ts'
import { evidenceOf, honest, policyOf } from './case.ts'
import { fakeTpm, quoteOf, signAttest } from './evidence.ts'
import type { FakeTpm, QuoteOptions } from './evidence.ts'

export const NOW = Date.parse('2026-11-23T12:00:00Z')
export const SELECTION: PcrSelection = parsePcrSelection('sha256:0-9,11-15')
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

export interface Host {
  readonly nodeId: string
  readonly tpm: FakeTpm
  readonly known: KnownHost
}

/** A node with an affirming verdict of its third boot, a minute ago. */
export function hostNamed(nodeId: string, selection: PcrSelection = SELECTION): Host {
  const tpm = fakeTpm()
  const { attested } = quoteOf(tpm, { pcrs: honest.pcrs, selection })
  const akName = hex(nameOf(tpm.ak))
  const known: KnownHost = {
    nodeId,
    status: 'active',
    ek: tpm.ek,
    ak: tpm.ak,
    akName,
    resetCount: 3,
    verdict: {
      id: 'v1',
      status: 'affirming',
      freshFrom: NOW - 60_000,
      akName,
      resetCount: 3,
      registers: { selection: attested.pcrSelect, digest: Buffer.from(attested.pcrDigest) },
    },
    eventLog: undefined,
  }
  return { nodeId, tpm, known }
}

export interface Guest {
  readonly id: string
  readonly tpm: FakeTpm
  readonly ekName: Buffer
  readonly ekSha256: string
  readonly generation: number
  readonly evidence: AppraisalInput
}

const policy = policyOf('  pcrs: sha256:0-15\n  guest: {}\n  secureBoot: { enabled: { is: true } }')

export function guestNamed(id: string, generation = 4): Guest {
  const tpm = fakeTpm()
  const ekSha256 = createHash('sha256').update(spkiOf(tpm.ek)).digest('hex')
  const evidence = { ...evidenceOf(honest, {}, tpm), policy }
  return { id, tpm, ekName: nameOf(tpm.ek), ekSha256, generation, evidence }
}

/** What a broker does: the ledger of its running guests, a batch of quotes, and one quote by the host over both. */
export function linksOf(
  host: Host,
  running: readonly Guest[],
  batch: readonly Guest[] = running,
  quote: Partial<QuoteOptions> = {},
  signer: FakeTpm = host.tpm,
): ReadonlyMap<Guest, LinkedEvidence> {
  const sorted = [...running].sort((a, b) => (a.id < b.id ? -1 : 1))
  const ledger = merkleTree(sorted.map(({ id, generation, ekName }) => ledgerLeaf({ guest: id, generation, ekName })))
  const quotes = merkleTree(batch.map(({ id, evidence }) => batchLeaf({ ...evidence, guest: id })))
  const nonce = linkQualifyingData(quotes.root, ledger.root)
  const signed = signAttest(signer, quoteOf(signer, { pcrs: honest.pcrs, selection: SELECTION, nonce, ...quote }))
  return new Map(
    sorted.map((guest) => [
      guest,
      {
        host: host.nodeId,
        hostQuote: signed.quote,
        hostSignature: signed.signature,
        ledger: {
          root: ledger.root,
          guest: guest.id,
          generation: guest.generation,
          ekName: guest.ekName,
          proof: ledger.proof(sorted.indexOf(guest)),
        },
        batch: { root: quotes.root, proof: quotes.proof(Math.max(0, batch.indexOf(guest))) },
      },
    ]),
  )
}

/** A guest on its host as it should be; `link` is the host's unless told otherwise. */
export function contextOf(guest: Guest, host: Host, link?: LinkedEvidence, linkHost: Host = host): GuestContext {
  return {
    guest: guest.id,
    ekSha256: guest.ekSha256,
    ekName: guest.ekName,
    boundTo: host.nodeId,
    placement: { nodeId: host.nodeId, generation: guest.generation, ekSha256: guest.ekSha256 },
    host: host.known,
    link,
    linkHost: link === undefined ? undefined : linkHost.known,
    now: NOW,
    maxHostAge: 15 * 60_000,
    maxLinkedHostAge: 24 * 3600_000,
  }
}
