import { verify } from 'node:crypto'
import { appraise, learnPolicy, parsePolicy, type AppraisalInput, type Policy } from '../src/attest/index.ts'
import { decode } from '../src/codec/index.ts'
import { eventTypeName, parseEventLog, registerValue, replayEventLog } from '../src/eventlog/index.ts'
import { TPMT_SIGNATURE } from '../src/tpm/index.ts'
import { softwareTpm } from '../scripts/stage/software-quote.ts'
import { bareHashing } from './bare-hashing.ts'
import { perSecond } from './batch.ts'
import { compare, type Bench } from './framework.ts'
import { derSignature } from './peers/der-signature.ts'
import { realLog } from './real-logs.ts'

const ROUNDS = 101
/** As many logs as stay in the processor's cache: a log that comes in was written there a moment before. */
const COUNT = 20
/** A verifier runs for months, so its code is compiled as well as it will ever be. */
const WARM_UP = 3_000
const LOG = 'keylime-secureboot.bin'
const NONCE = Buffer.alloc(32, 0xa5)

/** Twelve rules such as operators write. */
const RULES: ReadonlySet<string> = new Set([
  'secureBoot.enabled',
  'secureBoot.pk',
  'secureBoot.kek',
  'secureBoot.db',
  'secureBoot.dbx',
  'secureBoot.authorities',
  'kernel.commandLine',
  'grub.commands',
  'boot.applications',
  'boot.files',
  'firmware.version',
  'firmware.drivers',
])

function twelveRules(eventLog: Uint8Array): Policy {
  const learned = parsePolicy(learnPolicy({ name: 'bench', eventLog }))
  const rules = learned.rules.filter(({ row }) => RULES.has(row.fact))
  if (rules.length !== RULES.size) throw new Error(`the policy has ${rules.length} rules`)
  return { ...learned, rules }
}

/** A quote over what the log replays to, by a key in software, and everything that it is judged by. */
function evidence() {
  const eventLog = realLog(LOG)
  const log = parseEventLog(eventLog)
  const replayed = replayEventLog(log, 'sha256')
  const tpm = softwareTpm('ecdsa')
  const signed = tpm.quote({ nonce: NONCE, register: (_, pcr) => registerValue(replayed, pcr) })
  const input: AppraisalInput = {
    policy: twelveRules(eventLog),
    ak: { decoded: tpm.ak },
    enrolment: 'enrolled',
    ...signed,
    nonce: NONCE,
    eventLog,
  }
  const der = derSignature(decode('TPMT_SIGNATURE', TPMT_SIGNATURE, signed.signature))
  const bareVerify = (): void => {
    if (!verify('sha256', signed.quote, tpm.publicKey, der)) throw new Error('the signature is good and was refused')
  }
  return { input, eventLog, log, bareVerify }
}

function judge(input: AppraisalInput): void {
  const { status } = appraise(input)
  if (status !== 'affirming') throw new Error(`the evidence is good and was judged ${status}`)
}

/**
 * Logs that nobody saw before: they differ in bytes that nothing measured (a load address), so that one quote is good for all
 * of them, and nothing that remembers logs knows them. Always in the same memory, as what comes in from a network is.
 */
function unseenLogs({ eventLog, log }: ReturnType<typeof evidence>): () => readonly Buffer[] {
  const image = log.events.find(({ type }) => eventTypeName(type) === 'EV_EFI_BOOT_SERVICES_APPLICATION')
  if (image === undefined) throw new Error(`${LOG} has no image`)
  const loadAddress = image.data.byteOffset - eventLog.byteOffset
  const logs = Array.from({ length: COUNT }, () => Buffer.from(eventLog))
  let next = 0
  return () => {
    for (const each of logs) each.writeUInt32LE((next += 1), loadAddress)
    return logs
  }
}

export const appraiseCold: Bench = async () => {
  const material = evidence()
  const unseen = unseenLogs(material)
  const hashing = bareHashing(material.log, 'sha256')
  for (let run = 0; run < WARM_UP; run += COUNT) {
    for (const eventLog of unseen()) judge({ ...material.input, eventLog })
  }
  const ours = () => {
    const logs = unseen()
    let at = 0
    return perSecond(COUNT, () => {
      const eventLog = logs[at]
      at += 1
      if (eventLog !== undefined) judge({ ...material.input, eventLog })
    })()
  }
  const bare = (hashing: () => void) =>
    perSecond(COUNT, () => {
      material.bareVerify()
      hashing()
    })
  return [
    await compare('appraise-cold', ROUNDS, ours, bare(hashing.plain)),
    await compare('appraise-cold-tight', ROUNDS, ours, bare(hashing.tight)),
  ]
}

export const appraiseWarm: Bench = async () => {
  const { input, bareVerify } = evidence()
  // As it comes from the store or from the network: the same bytes, in other memory.
  const copies = Array.from({ length: 8 }, () => Buffer.from(input.eventLog))
  let at = 0
  for (let run = 0; run < WARM_UP; run += 1) judge(input)
  const ours = perSecond(COUNT, () => {
    const eventLog = copies[(at += 1) % copies.length]
    if (eventLog !== undefined) judge({ ...input, eventLog })
  })
  return [await compare('appraise-warm', ROUNDS, ours, perSecond(COUNT, bareVerify))]
}
