import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { joinDocuments } from '../../../src/attest/learn/documents.ts'
import type { LearnTerms } from '../../../src/attest/learn/documents.ts'
import { learnManifests } from '../../../src/attest/learn/manifest.ts'
import { reviewPolicies } from '../../../src/attest/policy-review.ts'
import { parseResources } from '../../../src/attest/policy.ts'
import { recordedBoot } from '../case.ts'
import { refusedFacts } from './learned-log.ts'
import { manifest, signManifest } from './manifest-bytes.ts'

const TERMS: LearnTerms = { name: 'acme', bank: 'sha256', state: 'active', now: Date.UTC(2026, 0, 1) }
const signer = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const { sha256: pcrs = {} } = recordedBoot('honest').pcrs

/** Registers as integrity-registers, and one digest that a key names. */
function measurements(...registers: readonly number[]): unknown {
  const values = registers.map(
    (register) =>
      [
        register,
        [
          [1, Buffer.from(pcrs[String(register)] ?? '', 'hex')],
          [7, Buffer.alloc(48)],
        ],
      ] as const,
  )
  return [
    new Map([[1, new Map([[14, new Map(values)]])]]),
    new Map<number, unknown>([
      [0, 'kernel'],
      [1, new Map([[2, [[1, Buffer.alloc(32, 0xaa)]]]])],
    ]),
  ]
}

const file = (bytes: Buffer) => [{ name: 'acme.corim', bytes }]

test('registers of a manifest become rules over them, and what a key names a set for the operator to place', () => {
  const { documents, notes } = learnManifests(file(manifest('acme-1', measurements(0, 7))), [], TERMS)
  assert.deepEqual(
    documents.map(({ name }) => name),
    ['acme', 'acme-pcr-0', 'acme-pcr-7', 'acme-digests'],
  )
  const [text = ''] = joinDocuments(documents)
  const findings = reviewPolicies([{ file: 'x', text }])
  assert.deepEqual(
    findings.map(({ severity, message }) => [severity, message]),
    [['warning', 'no rule names the reference set acme-digests']],
  )
  assert.deepEqual(refusedFacts(text, recordedBoot('honest').eventLog), [])
  assert.deepEqual(refusedFacts(text, recordedBoot('secureboot-off').eventLog), ['pcr.7'])
  const told = notes.map(({ message }) => message).join('\n')
  assert.match(told, /signed by nobody/)
  assert.match(told, /left out: acme\.corim: 2 values of sha384/)
  assert.match(told, /no rule names acme-digests/)
})

test('a signed manifest says so, and one that is not signed is refused where a key was given', () => {
  const bytes = manifest('acme-1', measurements(0))
  const { notes } = learnManifests(file(signManifest(bytes, signer.privateKey)), [signer.publicKey], TERMS)
  assert.match(notes[0]?.message ?? '', /signed by a trusted key$/)
  assert.throws(() => learnManifests(file(bytes), [signer.publicKey], TERMS), { code: 'learn.corim' })
  assert.throws(() => learnManifests(file(signManifest(bytes, signer.privateKey)), [], TERMS), { code: 'learn.corim' })
})

test('a manifest with values of other banks only teaches nothing', () => {
  assert.throws(() => learnManifests(file(manifest('a', measurements(0))), [], { ...TERMS, bank: 'sha512' }), {
    code: 'learn.nothing',
  })
})

test('registers that no boot of a log extends are quoted where a manifest has them', () => {
  const { documents } = learnManifests(file(manifest('a', measurements(17))), [], TERMS)
  const [policy] = parseResources(documents[0]?.text ?? '')
  assert.ok(policy?.kind === 'AttestationPolicy' && policy.judged.pcrs.includes(17))
})
