import { appraise, learnPolicy, parsePolicy } from '../../../src/attest/index.ts'
import type { Appraisal, AppraisalInput, Policy } from '../../../src/attest/index.ts'
import { softwareTpm } from '../../stage/software-quote.ts'
import { mutateBytes } from '../mutate/bytes.ts'
import { mutateImaLog } from '../mutate/ima-log.ts'
import { mutateTcgLog } from '../mutate/tcg-log.ts'
import { joinParts, mutatePart, splitParts } from '../parts.ts'
import { bootFile, sharedFile } from '../seeds.ts'
import { BrokenPromise, type Outcome, type Target } from '../target.ts'

const NONCE = Buffer.from('00112233445566778899aabbccddeeff', 'hex')

/** quote, signature, AK, EK, firmware log, IMA log */
type Evidence = readonly [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer]

interface Good {
  readonly evidence: Evidence
  readonly policy: Policy
  readonly appraisal: Appraisal
}

function inputOf([quote, signature, ak, ek, eventLog, imaLog]: Evidence, policy: Policy): AppraisalInput {
  return { policy, ak: { public: ak }, ek, enrolment: 'enrolled', quote, signature, nonce: NONCE, eventLog, imaLog }
}

function goodOf(evidence: Evidence): Good {
  const policy = parsePolicy(learnPolicy({ name: 'fuzz', eventLog: evidence[4] }))
  const appraisal = appraise(inputOf(evidence, policy))
  if (appraisal.status !== 'affirming') throw new Error(`the seed is judged ${appraisal.status}`)
  return { evidence, policy, appraisal }
}

/** A recorded boot, quoted by a key in software; another key each run, which no seed depends on. */
function recorded(): Evidence {
  const pcrs: unknown = JSON.parse(bootFile('honest', 'pcrs.json').toString())
  const register = (bank: string, pcr: number): Buffer =>
    Buffer.from(String(member(member(pcrs, bank), String(pcr))), 'hex')
  const tpm = softwareTpm('ecdsa')
  const { quote, signature } = tpm.quote({ nonce: NONCE, register })
  return [quote, signature, tpm.akBytes, tpm.ekBytes, bootFile('honest', 'eventlog.bin'), bootFile('honest', 'ima.bin')]
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

/** A real quote by a software TPM of a virtual machine, where it is beside the checkout. */
function real(): Evidence | undefined {
  const file = (name: string) => sharedFile(`qemu-ovmf/secure-boot/${name}`)
  const [quote, signature, ak, ek, eventLog, imaLog] = [
    'quote.msg',
    'quote.sig',
    'ak.pub',
    'ek.pub',
    'eventlog.bin',
    'ima.bin',
  ].map(file)
  if (quote === undefined || signature === undefined || ak === undefined) return undefined
  if (ek === undefined || eventLog === undefined || imaLog === undefined) return undefined
  return [quote, signature, ak, ek, eventLog, imaLog]
}

let known: readonly Good[] | undefined

function allGood(): readonly Good[] {
  return (known ??= [recorded(), real()].flatMap((evidence) => (evidence === undefined ? [] : [goodOf(evidence)])))
}

/** Which of the good ones an input was made of: the one that has most of its parts. */
function originOf(parts: readonly Buffer[]): Good | undefined {
  const same = ({ evidence }: Good): number => evidence.filter((part, at) => parts[at]?.equals(part) === true).length
  return [...allGood()].sort((a, b) => same(b) - same(a))[0]
}

const NAMES = ['quote', 'signature', 'AK', 'EK', 'event log', 'IMA log'] as const
const SIGNED = 4

/**
 * What may be told of a log that was changed where no quote reaches: the same verdict and the same facts, but for the places
 * of events. Between registers the order of events is nobody's word, so with it goes which boot attempt an image was of.
 */
function essence({ status, vector, facts }: Appraisal): string {
  const places = new Set(['index', 'attempt', 'event', 'bootAttempts'])
  return JSON.stringify({ status, vector, facts }, (name, value: unknown) => (places.has(name) ? undefined : value))
}

function judge(parts: readonly Buffer[]): Outcome {
  const [quote, signature, ak, ek, eventLog, imaLog] = parts
  const good = originOf(parts)
  if (good === undefined || quote === undefined || signature === undefined || ak === undefined) return { features: [] }
  if (ek === undefined || eventLog === undefined || imaLog === undefined) return { features: [] }
  const input = inputOf([quote, signature, ak, ek, eventLog, imaLog], good.policy)
  const appraisal = appraise(input)
  const { status, checks } = appraisal
  const changed = NAMES.filter((_, at) => parts[at]?.equals(good.evidence[at] ?? Buffer.alloc(0)) !== true)
  const features = [
    ...checks.map(({ check, outcome, code }) => `${check} ${outcome} ${code ?? ''}`),
    `${status} with another ${changed.join(', ')}`,
  ]
  const isStatement = changed.some((name) => NAMES.indexOf(name) < SIGNED)
  if (status !== 'contraindicated' && isStatement && !isSameSignature(changed, signature, good.evidence[1])) {
    throw new BrokenPromise(`another ${changed.join(', ')} is judged ${status}`)
  }
  if (status !== 'contraindicated' && essence(appraisal) !== essence(good.appraisal)) {
    throw new BrokenPromise(`another ${changed.join(', ')} is judged ${status}, with other facts`)
  }
  for (const { check, outcome, code } of checks) {
    if (outcome !== 'pass' && code === undefined) throw new BrokenPromise(`${check} is ${outcome} without a code`)
  }
  return { features, answer: { status, checks } }
}

/** A number may be written with or without zeros in front of it. */
function isSameSignature(changed: readonly string[], one: Buffer, other: Buffer): boolean {
  const digits = (bytes: Buffer): string => bytes.toString('hex').replaceAll('00', '')
  return changed.join() === 'signature' && digits(one) === digits(other)
}

export const evidenceTarget: Target = {
  name: 'evidence',
  promise:
    'changed evidence is contraindicated, refused with a code, or changed where no quote reaches and judged the same',
  seeds: () => allGood().map(({ evidence }) => joinParts(evidence)),
  mutate: mutatePart([mutateBytes, mutateBytes, mutateBytes, mutateBytes, mutateTcgLog, mutateImaLog]),
  run: (input) => judge(splitParts(input)),
}

/** Evidence that does not change, for policies that do. */
export function goodInput(): AppraisalInput {
  const [good] = allGood()
  if (good === undefined) throw new Error('there is no evidence')
  return inputOf(good.evidence, good.policy)
}
