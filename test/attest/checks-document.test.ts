import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { AppraisalInput } from '../../src/attest/appraise.ts'
import { decideAdmission } from '../../src/ca/admission.ts'
import { checkEk } from '../../src/ca/check-ek.ts'
import { checkEnrolment } from '../../src/ca/check-enrolment.ts'
import { parseRequest } from '../../src/ca/request.ts'
import type { Check } from '../../src/core/index.ts'
import { parsePcrSelection } from '../../src/tpm/index.ts'
import { makeRequest } from '../ca/requests.ts'
import { AK_ATTRIBUTES, attested, creationOf, DEVICE_ATTRIBUTES, quoteOf, softwareKey } from '../ca/software-tpm.ts'
import { evidenceOf, honest, learned, policyOf, recordedBoot, tpm, without } from './case.ts'
import { fakeTpm } from './evidence.ts'
import { contextOf, guestNamed, hostNamed, linksOf } from './hosted.ts'

const document = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'checks.md'), 'utf8')
const documented = [...document.matchAll(/^\| `([a-z0-9_.-]+)` \|/gm)].map(([, name]) => name ?? '')

const good = evidenceOf(honest)
const banks = parsePcrSelection('sha256:0-15+sha1:0-7')
const prior = { clock: 9_999_999n, resetCount: 9, restartCount: 9, firmwareVersion: 1n }
const required = policyOf(`  pcrs: sha256:0-15
  log: { ima: required, structure: tolerant }
  requiredFacts: [secureBoot.dbt]
  kernel: { commandLine: { references: [missing], parameters: { forbidden: [a] } } }
`)

const overIma = policyOf(`  pcrs: sha256:0-15
  secureBoot: { enabled: { is: true } }
  ima:
    allow: { anyOf: ["sha256:${'00'.repeat(32)}"] }
    violations: deny
    buffers: [{ name: .ima, required: true }]
    deviceMapper: { required: [root] }
`)

const host = hostNamed('node')
const guest = guestNamed('11111111-0000-4000-8000-000000000001')
const link = linksOf(host, [guest]).get(guest)

const cases: Readonly<Record<string, AppraisalInput>> = {
  'an honest boot': good,
  'another command line': evidenceOf(recordedBoot('cmdline')),
  'Secure Boot off': evidenceOf(recordedBoot('secureboot-off')),
  'the log of another boot': { ...good, eventLog: recordedBoot('cmdline').eventLog },
  'no IMA log': without(good, 'imaLog'),
  'a log of systemd that measured nothing yet': { ...good, userspaceLog: Buffer.alloc(0) },
  'no EK': without(good, 'ek'),
  'another nonce': { ...good, nonce: Buffer.alloc(16, 1) },
  'another key': { ...good, ak: { public: fakeTpm().akBytes } },
  'a PEM': { ...good, ak: { pem: tpm.akPem } },
  'a revoked key': { ...good, enrolment: 'revoked' },
  'two banks': { ...evidenceOf(honest, { selection: banks }), selection: banks },
  'fewer registers than asked for': evidenceOf(honest, { selection: parsePcrSelection('sha256:0-7') }),
  'a later prior state': { ...good, prior },
  'another magic': evidenceOf(honest, { magic: 1 }),
  'a policy of facts, parameters and missing references': { ...good, policy: required },
  'that policy without an IMA log': { ...without(good, 'imaLog'), policy: required },
  'a linked guest': { ...guest.evidence, guest: contextOf(guest, host, link) },
  'a guest that is placed nowhere': {
    ...guest.evidence,
    guest: { ...contextOf(guest, host), placement: undefined, host: undefined },
  },
  'a policy over IMA': { ...good, policy: overIma },
  'a policy without rules': { ...good, policy: { ...learned, rules: [] } },
}

function enrolmentChecks(): readonly Check[] {
  const ek = softwareKey(['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'adminWithPolicy', 'restricted', 'decrypt'])
  const ak = softwareKey(AK_ATTRIBUTES)
  const device = softwareKey(DEVICE_ATTRIBUTES)
  const binding = Buffer.alloc(32, 3)
  const here = { ek: ek.pub, ak, extraData: binding }
  const certified = attested(creationOf(device.pub, here), ak)
  const endorsement = checkEk({
    ekPublic: ek.pub,
    certificate: undefined,
    chain: [],
    trust: { anchors: [], intermediates: [] },
    now: 0,
    policy: { certificate: 'optional', expired: 'warn', allowSha1: false },
  })
  const admissions = (['manifest', 'approval', 'vendor-ek', 'open'] as const).flatMap((mode) => {
    const claimed = { model: 'E1', serial: '7', pcrBanks: ['sha256'] }
    const given = { mode, ekChecks: [], ekDigest: '0'.repeat(64), claimed, manifest: undefined, approval: undefined }
    return decideAdmission(given).checks
  })
  const enrolment = checkEnrolment({
    ek: ek.pub,
    ak: ak.pub,
    device: device.pub,
    certification: certified.bytes,
    certificationSignature: certified.signature,
    quote: attested(quoteOf(here), ak).bytes,
    request: parseRequest(makeRequest({ signer: device.privateKey })),
    binding,
    proof: Buffer.alloc(32, 4),
    expectedProof: Buffer.alloc(32, 4),
  })
  return [...endorsement.checks, ...admissions, ...enrolment]
}

const produced = new Set(enrolmentChecks().map(({ check }) => check))
for (const [what, input] of Object.entries(cases)) {
  const names = appraise(input).checks.map(({ check }) => check)
  for (const name of names) produced.add(name)
  test(`every check of a verdict on ${what} is documented`, () => {
    assert.deepEqual(
      names.filter((name) => !documented.includes(name)),
      [],
    )
  })
}

test('every check of an enrolment is documented', () => {
  const names = enrolmentChecks().map(({ check }) => check)
  assert.deepEqual(
    names.filter((name) => !documented.includes(name)),
    [],
  )
})

test('the document names each check once, and none that is never made', () => {
  assert.equal(new Set(documented).size, documented.length)
  // The service makes this one, where an appraisal throws.
  const made = new Set([...produced, 'log.readable'])
  assert.deepEqual(
    documented.filter((name) => !made.has(name)),
    [],
  )
})
