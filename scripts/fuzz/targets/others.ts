import { appraise, parseResources, PolicyError, type Fault } from '../../../src/attest/index.ts'
import {
  imaFindings,
  imaMeasurement,
  parseImaLog,
  readDeviceTable,
  readImaSignature,
  replayImaLog,
} from '../../../src/eventlog/index.ts'
import { decode } from '../../../src/codec/index.ts'
import { isTouchstoneError } from '../../../src/core/index.ts'
import { TPM2B_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE } from '../../../src/tpm/index.ts'
import { softwareTpm } from '../../stage/software-quote.ts'
import { mutateBytes } from '../mutate/bytes.ts'
import { mutateImaLog } from '../mutate/ima-log.ts'
import { mutateText } from '../mutate/text.ts'
import { imaLogs, policyTexts } from '../seeds.ts'
import type { Target } from '../target.ts'
import { goodInput } from './evidence.ts'

export const imaTarget: Target = {
  name: 'ima',
  promise: 'any bytes are an IMA log or refused with a code',
  seeds: imaLogs,
  mutate: mutateImaLog,
  run(input) {
    const log = parseImaLog(input)
    const findings = imaFindings(input, 'sha256')
    const replayed = replayImaLog(input, 'sha256')
    const entries = log.entries.slice(0, MEASUREMENTS).flatMap((entry) => {
      const measurement = imaMeasurement(entry, log.endian)
      if (measurement === undefined) return [`unread ${knownTemplate(entry.template)}`]
      const signature = readImaSignature(measurement.fields.get('sig') ?? Buffer.alloc(0))
      const table = readDeviceTable(measurement.fields.get('buf')?.toString('latin1') ?? '')
      const kinds = [knownTemplate(entry.template), entry.violation ? 'violation' : '', signature.kind, typeof table]
      return [kinds.join(' ')]
    })
    return {
      features: [...findings.map(({ code, severity }) => `${code} ${severity}`), ...entries, log.endian],
      answer: { replayed: replayed.entries, findings },
    }
  },
}

/** Every entry has its own, so not all of a long log need be read. */
const MEASUREMENTS = 64

function knownTemplate(name: string): string {
  return /^(?:ima(?:-[a-z0-9]+)?|evm-sig|d-ng\|n-ng(?:\|sig)?)$/.test(name) ? name : 'unknown'
}

export const policyTarget: Target = {
  name: 'policy',
  promise: 'any text is read as policies, judged by, or refused with its faults',
  seeds: policyTexts,
  mutate: mutateText,
  run(input) {
    const resources = readOrFaults(input.toString('utf8'))
    if ('faults' in resources)
      return { features: resources.faults.map(faultFeature), answer: resources.faults.slice(0, 100) }
    const features = resources.map(({ kind }) => `resource ${kind}`)
    const answers = resources.map((resource) => {
      if (resource.kind !== 'AttestationPolicy') return resource.kind
      const { status, checks } = appraise({ ...goodInput(), policy: resource })
      features.push(
        status,
        ...checks.map(({ check, claim, outcome, code }) => `${check} ${claim ?? ''} ${outcome} ${code ?? ''}`),
      )
      return { status, checks }
    })
    return { features, answer: answers }
  },
}

function readOrFaults(text: string): ReturnType<typeof parseResources> | { readonly faults: readonly Fault[] } {
  try {
    return parseResources(text)
  } catch (error) {
    if (error instanceof PolicyError) return { faults: error.faults }
    throw error
  }
}

/** A fault without what of it is the input's: which field, and what is wrong with it. */
function faultFeature({ path, message }: Fault): string {
  return `${path.replaceAll(/[^a-zA-Z.]+/g, '')}: ${message.slice(0, 40).replaceAll(/["'`].*/g, '')}`.slice(0, 80)
}

export const structureTarget: Target = {
  name: 'structure',
  promise: 'any bytes are decoded as TPM structures or refused with a code',
  seeds() {
    const [ecdsa, rsassa] = [softwareTpm('ecdsa'), softwareTpm('rsassa')]
    const quotes = [ecdsa, rsassa].map((tpm) =>
      tpm.quote({ nonce: Buffer.alloc(16), register: () => Buffer.alloc(32) }),
    )
    return [ecdsa.akBytes, rsassa.akBytes, ...quotes.flatMap(({ quote, signature }) => [quote, signature])]
  },
  mutate: mutateBytes,
  run(input) {
    const codes = READINGS.map((read, at) => `${at} ${outcomeOf(() => read(input))}`)
    return { features: codes }
  },
}

const READINGS: readonly ((input: Buffer) => unknown)[] = [
  (input) => decode('input', TPMS_ATTEST, input),
  (input) => decode('input', TPMT_SIGNATURE, input),
  (input) => decode('input', TPM2B_PUBLIC, input),
]

function outcomeOf(read: () => unknown): string {
  try {
    read()
    return 'decodes'
  } catch (error) {
    if (!isTouchstoneError(error)) throw error
    return `${error.code} ${String(error.details['path'])}`
  }
}
