import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { appraise, learnPolicy, parsePolicy } from '../../../src/attest/index.ts'
import {
  bootClaims,
  boundClaims,
  joinUserspaceLog,
  parseEventLog,
  parseUserspaceLog,
  type BoundClaims,
} from '../../../src/eventlog/index.ts'
import { digest, parsePcrSelection } from '../../../src/tpm/index.ts'
import { pcrsOf } from '../../../test/attest/evidence.ts'
import { machineId, phases, userspaceLog } from '../../../test/eventlog/userspace-records.ts'
import { root } from '../../stage/processes.ts'
import { softwareTpm } from '../../stage/software-quote.ts'
import { mutateBothLogs } from '../mutate/userspace-log.ts'
import { joinParts, splitParts } from '../parts.ts'
import { BrokenPromise, type Outcome, type Target } from '../target.ts'

const NONCE = Buffer.alloc(16, 7)
const SELECTION = 'sha256:0-9,11-15'

const RECORDS = [
  ...phases.slice(0, 2),
  machineId,
  { pcr: 15, eventType: 'filesystem', string: 'file-system:/:ext4:1e023a55' },
  ...phases.slice(2),
]

/** What a policy may believe of these logs, as far as `records` of the second. */
function believed(firmware: Buffer, userspace: Buffer, records: number): BoundClaims {
  const log = joinUserspaceLog(parseEventLog(firmware), parseUserspaceLog(userspace), { records, bank: 'sha256' })
  return boundClaims(bootClaims(log, 'sha256'))
}

/** A quote of the recorded boot of a unified kernel after so many records of systemd, and what is true of it then. */
function quotedAfter(eventLog: Buffer, records: number) {
  const values = new Map<number, Buffer>()
  for (const [pcr, value] of Object.entries(pcrsOf(eventLog)['sha256'] ?? {}))
    values.set(Number(pcr), Buffer.from(value, 'hex'))
  for (const { pcr = 0, string } of RECORDS.slice(0, records)) {
    const before = values.get(pcr)
    if (before !== undefined) values.set(pcr, digest('sha256', before, digest('sha256', Buffer.from(string))))
  }
  const tpm = softwareTpm('ecdsa')
  const selection = parsePcrSelection(SELECTION)
  const signed = tpm.quote({ nonce: NONCE, selection, register: (_bank, pcr) => values.get(pcr) ?? Buffer.alloc(32) })
  const known = {
    selection,
    ak: { public: tpm.akBytes },
    ek: tpm.ekBytes,
    enrolment: 'enrolled',
    nonce: NONCE,
  } as const
  return { ...known, ...signed, truth: believed(eventLog, userspaceLog(...RECORDS), records) }
}

function stage() {
  const eventLog = readFileSync(join(root, 'test', 'fixtures', 'unified-kernel', 'secure-boot.bin'))
  const policy = parsePolicy(learnPolicy({ name: 'fuzz', eventLog }))
  return {
    eventLog,
    policy,
    quotes: [RECORDS.length, RECORDS.length - 1].map((records) => quotedAfter(eventLog, records)),
  }
}

let known: ReturnType<typeof stage> | undefined

function judge(firmware: Buffer, log: Buffer): Outcome {
  const { policy, quotes } = (known ??= stage())
  const features: string[] = []
  const answers = quotes.map(({ truth, ...quote }) => {
    const { status, checks, userspace } = appraise({ ...quote, policy, eventLog: firmware, userspaceLog: log })
    features.push(status, ...checks.map(({ check, outcome, code }) => `${check} ${outcome} ${code ?? ''}`))
    if (status !== 'contraindicated') {
      const other = untrue(believed(firmware, log, userspace?.covered ?? 0), truth)
      features.push(`${status} ${String(userspace?.covered)} of ${String(userspace?.records)}`)
      if (other !== undefined) throw new BrokenPromise(`judged ${status}, and another ${other} is believed`)
    }
    return { status, checks }
  })
  return { features, answer: answers }
}

/** Less may be known of changed logs, and nothing else. */
function untrue(claims: BoundClaims, truth: BoundClaims): string | undefined {
  for (const [group, members] of Object.entries(claims)) {
    for (const [name, value] of Object.entries(members)) {
      if (JSON.stringify(value) !== JSON.stringify(truth[group]?.[name])) return `${group}.${name}`
    }
  }
  return undefined
}

export const userspaceTarget: Target = {
  name: 'userspace',
  promise:
    'a changed log of systemd, or of the firmware before it, is refused, contraindicated, or believed in nothing new',
  seeds: () => {
    const { eventLog } = (known ??= stage())
    return [joinParts([eventLog, userspaceLog(...RECORDS)])]
  },
  mutate: mutateBothLogs,
  run(input) {
    const [firmware, log] = splitParts(input)
    return firmware === undefined || log === undefined ? { features: [] } : judge(firmware, log)
  },
}
