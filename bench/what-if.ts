import { verify } from 'node:crypto'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { learnPolicy, parsePolicy, type AppraisalInput } from '../src/attest/index.ts'
import { decode } from '../src/codec/index.ts'
import { parseNodeId, toHex, type NodeId } from '../src/core/index.ts'
import { parseEventLog, registerValue, replayEventLog } from '../src/eventlog/index.ts'
import { loadResource, policySource } from '../src/server/services/policies.ts'
import { packEvidence } from '../src/server/services/stored-evidence.ts'
import { whatIf } from '../src/server/services/what-if.ts'
import { openStore, sqliteEngine, type Store } from '../src/store/index.ts'
import { nameOf, TPMT_SIGNATURE } from '../src/tpm/index.ts'
import { sha256 } from '../src/wire/index.ts'
import { softwareTpm } from '../scripts/stage/software-quote.ts'
import type { Bench } from './framework.ts'
import { limitOf } from './limits.ts'
import { derSignature } from './peers/der-signature.ts'
import { realLog } from './real-logs.ts'

const NODES = 50_000
/** A fleet has many keys and few kinds of boots. */
const KEYS = 500
const LOG = 'keylime-secureboot.bin'
const PAGE = 1000
const NONCE = Buffer.alloc(32, 0xa5)
const NOW = Date.UTC(2026, 0, 1)
const DRAFT_RULES: readonly (readonly [group: string, fact: string])[] = [
  ['secureBoot', 'enabled'],
  ['secureBoot', 'pk'],
  ['secureBoot', 'kek'],
  ['secureBoot', 'db'],
  ['secureBoot', 'dbx'],
  ['secureBoot', 'authorities'],
  ['kernel', 'commandLine'],
  ['boot', 'applications'],
  ['boot', 'files'],
  ['firmware', 'version'],
]

const rules = z.record(z.string(), z.unknown())
const learnedDocument = z.looseObject({ spec: z.looseObject({ pcrs: z.string() }) })

/** The learned policy with ten of its rules: what an operator who loosens it would ask about. */
function draftOf(learned: string): string {
  const document = learnedDocument.parse(parse(learned, { schema: 'failsafe' }))
  const spec: Record<string, unknown> = { pcrs: document.spec.pcrs }
  for (const [group, fact] of DRAFT_RULES) {
    const rule = rules.safeParse(document.spec[group]).data?.[fact]
    if (rule === undefined) throw new Error(`${group}.${fact} was not learned`)
    spec[group] = { ...(typeof spec[group] === 'object' ? spec[group] : {}), [fact]: rule }
  }
  return stringify({ ...document, spec })
}

function keys(eventLog: Buffer) {
  const replayed = replayEventLog(parseEventLog(eventLog), 'sha256')
  return Array.from({ length: KEYS }, () => {
    const tpm = softwareTpm('ecdsa')
    const signed = tpm.quote({ nonce: NONCE, register: (_, pcr) => registerValue(replayed, pcr) })
    const der = derSignature(decode('TPMT_SIGNATURE', TPMT_SIGNATURE, signed.signature))
    return { tpm, signed, der, akName: toHex(nameOf(tpm.ak)) }
  })
}

function idOf(kind: '0' | '1', n: number): NodeId {
  const id = parseNodeId(`0190a0b0-000${kind}-7000-8000-${n.toString(16).padStart(12, '0')}`)
  if (id === undefined) throw new Error('not an id')
  return id
}

async function fill(store: Store, learned: string, eventLog: Buffer, made: ReturnType<typeof keys>): Promise<void> {
  const policy = parsePolicy(learned)
  for (let from = 0; from < NODES; from += PAGE) {
    await store.transaction(async (tx) => {
      for (let n = from; n < from + PAGE; n += 1) {
        const key = made[n % KEYS]
        if (key === undefined) throw new Error('no key')
        const { tpm, signed, akName } = key
        const nodeId = idOf('0', n)
        await tx.nodes.insert(
          {
            nodeId,
            status: 'active',
            model: 'box',
            serial: `S${n}`,
            holdsIdentity: true,
            labels: {},
            admittedBy: 'open',
            ekSha256: n.toString(16).padStart(64, '0'),
            ekPublic: tpm.ekBytes,
            akPublic: tpm.akBytes,
            akName,
            devicePublic: tpm.akBytes,
            deviceKeyName: akName,
            pcrBanks: ['sha256'],
          },
          NOW,
        )
        const input: AppraisalInput = {
          policy,
          ak: { decoded: tpm.ak },
          enrolment: 'enrolled',
          ek: tpm.ekBytes,
          ...signed,
          nonce: NONCE,
          eventLog,
        }
        const evidence = packEvidence(input, true)
        const prior = { nonceIssued: NOW, clock: 1n, resetCount: 1, restartCount: 1, safe: true, firmwareVersion: 1n }
        const attestation = idOf('1', n)
        await tx.nodes.recordEnrolment(nodeId, { akName, prior, attestation })
        await tx.attestations.insert(
          {
            id: attestation,
            nodeId,
            purpose: 'attestation',
            time: NOW,
            freshFrom: NOW,
            akName,
            resetCount: 1,
            verdict: { status: 'affirming', vector: {}, checks: [] },
            inputs: {
              policy: { name: policy.name, digest: policy.digest },
              references: [],
              evidence: toHex(sha256(Buffer.from(evidence, 'utf8'))),
            },
            evidence,
            quote: signed.quote,
            signature: signed.signature,
          },
          8,
        )
      }
    })
  }
  const digest = toHex(sha256(eventLog))
  await store.transaction((tx) => tx.logs.put(idOf('0', 0), digest, eventLog, { logs: 8, bytes: 1 << 20 }, NOW))
}

/** Seconds that the answer takes, page by page as the command asks for it, from an embedded database on a disk. */
export const whatIfFleet: Bench = async (stage) => {
  const eventLog = realLog(LOG)
  const learned = learnPolicy({ name: 'fleet', eventLog })
  const store = await openStore(sqliteEngine(join(stage.directory, 'what-if.db')), NOW)
  stage.onEnd(() => store.close())
  const made = keys(eventLog)
  await fill(store, learned, eventLog, made)
  const clock = { now: () => NOW }
  const policies = policySource(
    store,
    clock,
    [loadResource(learned, { revision: 0, source: 'file', updated: NOW })],
    {},
  )
  const documents = [draftOf(learned)]
  const started = performance.now()
  let same = 0
  let after: string | undefined
  do {
    const page = await whatIf({ store, policies, clock }, { documents, limit: PAGE, after })
    same += page.counts.same
    after = page.next
  } while (after !== undefined)
  const seconds = (performance.now() - started) / 1000
  if (same !== NODES) throw new Error(`${same} of ${NODES} nodes stay as they are`)
  const bare = performance.now()
  for (let n = 0; n < NODES; n += 1) {
    const key = made[n % KEYS]
    if (key === undefined || !verify('sha256', key.signed.quote, key.tpm.publicKey, key.der)) throw new Error('refused')
  }
  const peer = (performance.now() - bare) / 1000
  const { unit, against } = limitOf('what-if')
  const rounded = (value: number) => Number(value.toPrecision(3))
  return [{ name: 'what-if', value: rounded(seconds), unit, ratio: rounded(seconds / peer), against, runs: 1 }]
}
