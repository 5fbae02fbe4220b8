import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { appraise } from '../../src/attest/appraise.ts'
import type { AppraisalInput } from '../../src/attest/appraise.ts'
import { encode } from '../../src/codec/index.ts'
import type { Outcome } from '../../src/core/index.ts'
import { parsePcrSelection, TPM2B_PUBLIC, TPMS_ATTEST } from '../../src/tpm/index.ts'
import type { TpmsAttest } from '../../src/tpm/index.ts'
import { checkNamed, evidenceOf, honest, tpm, without } from './case.ts'
import { fakeTpm, NONCE, quoteOf, signAttest, signBytes } from './evidence.ts'
import { contextOf, guestNamed, hostNamed } from './hosted.ts'

const good = evidenceOf(honest)
const goodQuote = quoteOf(tpm, { pcrs: honest.pcrs })

/** Good evidence with another statement of the TPM, genuinely signed. */
function stating(attest: TpmsAttest): AppraisalInput {
  return { ...good, ...signAttest(tpm, attest) }
}

/** Good evidence with bytes of the statement overwritten, genuinely signed. */
function patched(at: number, bytes: readonly number[]): AppraisalInput {
  const quote = Buffer.from(good.quote)
  quote.set(bytes, at)
  return { ...good, ...signBytes(tpm, quote) }
}

const qualifiedSignerSize = 36
const nonceAt = 6 + qualifiedSignerSize
const clockAt = nonceAt + 2 + NONCE.byteLength
const selectionAt = clockAt + 17 + 8

interface Case {
  readonly input: AppraisalInput
  readonly check: string
  readonly outcome: Outcome
  readonly code: string
}

const prior = { clock: 5_000n, resetCount: 3, restartCount: 1, firmwareVersion: goodQuote.firmwareVersion }
const at = (counters: {
  clock?: bigint
  resetCount?: number
  restartCount?: number
  safe?: boolean
}): AppraisalInput => ({
  ...evidenceOf(honest, counters),
  prior,
})

const cases: Readonly<Record<string, Case>> = {
  'a structure that no TPM made': {
    input: stating({ ...goodQuote, magic: 0x41424344 }),
    check: 'quote.magic',
    outcome: 'fail',
    code: 'quote.magic',
  },
  'a quote whose type was changed to that of a certification': {
    input: patched(4, [0x80, 0x17]),
    check: 'quote.type',
    outcome: 'fail',
    code: 'quote.type',
  },
  'a quote whose type is one that nobody knows': {
    input: patched(4, [0x12, 0x34]),
    check: 'quote.type',
    outcome: 'fail',
    code: 'quote.type',
  },
  'an NV index certified as if it were a quote': {
    input: stating({
      ...goodQuote,
      type: 'nv',
      attested: { indexName: Buffer.alloc(34, 1), offset: 0, nvContents: Buffer.alloc(48, 2) },
    }),
    check: 'quote.type',
    outcome: 'fail',
    code: 'quote.type',
  },
  'another nonce': {
    input: { ...good, nonce: Buffer.alloc(16, 9) },
    check: 'quote.nonce',
    outcome: 'fail',
    code: 'quote.nonce',
  },
  'a nonce of which the quote has only the beginning': {
    input: { ...good, nonce: Buffer.concat([NONCE, Buffer.alloc(1)]) },
    check: 'quote.nonce',
    outcome: 'fail',
    code: 'quote.nonce',
  },
  'no nonce at all, on both sides': {
    input: { ...evidenceOf(honest, { nonce: Buffer.alloc(0) }), nonce: Buffer.alloc(0) },
    check: 'quote.nonce',
    outcome: 'fail',
    code: 'quote.nonce',
  },
  'fewer registers than were asked for': {
    input: evidenceOf(honest, { selection: parsePcrSelection('sha256:0-9') }),
    check: 'quote.selection',
    outcome: 'fail',
    code: 'quote.selection',
  },
  'more registers than were asked for': {
    input: evidenceOf(honest, { selection: parsePcrSelection('sha256:0-16') }),
    check: 'quote.selection',
    outcome: 'fail',
    code: 'quote.selection',
  },
  'another bank than was asked for': {
    input: evidenceOf(honest, { selection: parsePcrSelection('sha1:0-15') }),
    check: 'quote.selection',
    outcome: 'fail',
    code: 'quote.selection',
  },
  'one bank more than was asked for': {
    input: evidenceOf(honest, { selection: parsePcrSelection('sha256:0-15+sha1:0') }),
    check: 'quote.selection',
    outcome: 'fail',
    code: 'quote.selection',
  },
  'the judged bank twice': {
    input: evidenceOf(honest, {
      selection: [...parsePcrSelection('sha256:0-15'), ...parsePcrSelection('sha256:0-15')],
    }),
    check: 'quote.selection',
    outcome: 'fail',
    code: 'quote.selection',
  },
  'no registers at all': {
    input: evidenceOf(honest, { selection: parsePcrSelection('sha256:none') }),
    check: 'quote.selection',
    outcome: 'fail',
    code: 'quote.selection',
  },
  'a bank that nobody knows': {
    input: patched(selectionAt + 4, [0x00, 0x99]),
    check: 'quote.selection',
    outcome: 'fail',
    code: 'quote.selection',
  },
  'registers relabelled: PCR 16 quoted where PCR 10 was asked for': {
    input: {
      ...evidenceOf(honest, { selection: parsePcrSelection('sha256:0-9,11-16') }),
      pcrs: honest.pcrs,
    },
    check: 'quote.selection',
    outcome: 'fail',
    code: 'quote.selection',
  },
  'values of other registers under the labels that were asked for': {
    input: evidenceOf(honest, {
      pcrs: { sha256: { ...honest.pcrs['sha256'], 10: honest.pcrs['sha256']?.['11'] ?? '', 12: '00'.repeat(32) } },
      selection: parsePcrSelection('sha256:0-15'),
    }),
    check: 'ima.replay',
    outcome: 'fail',
    code: 'ima.empty',
  },
  'a clock that went backwards': {
    input: at({ clock: 4_999n }),
    check: 'quote.clock',
    outcome: 'fail',
    code: 'quote.clock',
  },
  'a clock that went backwards over a reset although the TPM calls it safe': {
    input: at({ clock: 4_999n, resetCount: 4 }),
    check: 'quote.clock',
    outcome: 'fail',
    code: 'quote.clock',
  },
  'a reset counter that went backwards': {
    input: at({ resetCount: 2, restartCount: 9 }),
    check: 'quote.counters',
    outcome: 'fail',
    code: 'quote.counters',
  },
  'a restart counter that went backwards within one boot': {
    input: at({ restartCount: 0 }),
    check: 'quote.counters',
    outcome: 'fail',
    code: 'quote.counters',
  },
  'another firmware of the TPM': {
    input: { ...evidenceOf(honest, { firmwareVersion: 7n }), prior },
    check: 'quote.firmware-version',
    outcome: 'warn',
    code: 'quote.firmware_version',
  },
}

for (const [what, { input, check, outcome, code }] of Object.entries(cases)) {
  test(`${what}: ${check} is ${outcome}, and the evidence is not affirming`, () => {
    const appraisal = appraise(input)
    const found = checkNamed(appraisal, check)
    assert.equal(found.outcome, outcome)
    assert.equal(found.code, code)
    assert.equal(appraisal.status, outcome === 'warn' ? 'warning' : 'contraindicated')
  })
}

test('a clock may resume behind the last one after a power cut that the TPM admits', () => {
  const appraisal = appraise(at({ clock: 10n, resetCount: 4, restartCount: 0, safe: false }))
  const check = checkNamed(appraisal, 'quote.clock')
  assert.equal(check.outcome, 'pass')
  assert.deepEqual(check.actual, { clock: '10', safe: false })
  assert.equal(appraisal.status, 'affirming')
})

test("the clock of a guest's TPM that was killed may resume behind, over a reset and not within one boot", () => {
  const guest = contextOf(guestNamed('11111111-0000-4000-8000-000000000001'), hostNamed('node-a'))
  const clockOf = (resetCount: number) =>
    checkNamed(appraise({ ...at({ clock: 10n, resetCount, restartCount: 0 }), guest }), 'quote.clock')
  assert.equal(clockOf(4).outcome, 'pass')
  assert.equal(clockOf(3).outcome, 'fail')
})

test('the same clock and counters again are not backwards', () => {
  assert.equal(appraise(at({})).status, 'affirming')
})

test('an undecodable flag in the clock is a decode error', () => {
  assert.throws(() => appraise(patched(clockAt + 16, [7])), { code: 'decode.value' })
})

test('a statement of another type that is also cut short is a decode error', () => {
  const quote = patched(4, [0x80, 0x17]).quote.subarray(0, 40)
  assert.throws(() => appraise({ ...good, ...signBytes(tpm, Buffer.from(quote)) }), { code: 'decode.truncated' })
})

test('a signature by another key fails', () => {
  const input = { ...good, ...signAttest(fakeTpm(), goodQuote) }
  assert.equal(checkNamed(appraise(input), 'quote.signature').code, 'tpm.signature_invalid')
  assert.equal(appraise(input).status, 'contraindicated')
})

test('a SHA-1 signature is refused even by a key that says SHA-1 is its own', () => {
  const byHabit = { ...good, ...signAttest(tpm, goodQuote, 'sha1') }
  assert.equal(checkNamed(appraise(byHabit), 'quote.scheme').code, 'tpm.signature_hash')
  assert.equal(checkNamed(appraise(byHabit), 'quote.signature').outcome, 'indeterminate')
  assert.equal(tpm.ak.type, 'ecc')
  const parameters = { ...tpm.ak.parameters, scheme: { scheme: 'ecdsa', hashAlg: 'sha1' } } as const
  const old = encode(TPM2B_PUBLIC, { ...tpm.ak, parameters })
  const declared = { ...without(byHabit, 'ek'), ak: { public: old } }
  assert.equal(checkNamed(appraise(declared), 'quote.scheme').outcome, 'fail')
  assert.equal(appraise(declared).status, 'contraindicated')
})

const schemes = {
  'another scheme that is known': [0x00, 0x14],
  'no scheme': [0x00, 0x10],
  'a scheme that nobody knows': [0x12, 0x34],
} as const
for (const [what, number] of Object.entries(schemes)) {
  test(`a signature that claims ${what} fails its scheme and is not verified`, () => {
    const signature = Buffer.from(good.signature)
    signature.set(number, 0)
    const appraisal = appraise({ ...good, signature })
    assert.equal(checkNamed(appraisal, 'quote.scheme').outcome, 'fail')
    assert.equal(checkNamed(appraisal, 'quote.signature').outcome, 'indeterminate')
    assert.equal(appraisal.status, 'contraindicated')
  })
}

test('a signature whose hash nobody knows fails its scheme', () => {
  const signature = Buffer.from(good.signature)
  signature.set([0x12, 0x34], 2)
  assert.equal(checkNamed(appraise({ ...good, signature }), 'quote.scheme').outcome, 'fail')
})

test('an unrestricted key that signs a forged TPM_GENERATED structure fails its attributes, and nothing is believed', () => {
  const forger = fakeTpm({ restricted: false })
  const appraisal = appraise(evidenceOf(honest, {}, forger))
  assert.equal(checkNamed(appraisal, 'quote.signature').outcome, 'pass')
  assert.equal(checkNamed(appraisal, 'ak.attributes').outcome, 'fail')
  assert.equal(appraisal.status, 'contraindicated')
  assert.deepEqual(new Set(Object.values(appraisal.vector)), new Set([99]))
  assert.equal(appraisal.facts, undefined)
})

const attributes = {
  fixedTPM: false,
  fixedParent: false,
  sensitiveDataOrigin: false,
  sign: false,
  decrypt: true,
}
for (const [attribute, value] of Object.entries(attributes)) {
  test(`an attestation key ${value ? 'with' : 'without'} ${attribute} fails its attributes`, () => {
    const appraisal = appraise(evidenceOf(honest, {}, fakeTpm({ [attribute]: value })))
    assert.equal(checkNamed(appraisal, 'ak.attributes').code, 'ak.attributes')
    assert.equal(appraisal.status, 'contraindicated')
  })
}

test('reserved attribute bits are failed attributes and not a decode error', () => {
  const { public: ak } = good.ak as { public: Uint8Array }
  const odd = Buffer.from(ak)
  odd.writeUInt8(0x80, 6)
  const appraisal = appraise({ ...good, ak: { public: odd } })
  assert.equal(checkNamed(appraisal, 'ak.attributes').outcome, 'fail')
  assert.equal(checkNamed(appraisal, 'quote.scheme').outcome, 'indeterminate')
  assert.equal(checkNamed(appraisal, 'ak.qualified-name').outcome, 'indeterminate')
  assert.equal(appraisal.status, 'contraindicated')
})

test('a key whose scheme nobody knows is a failed scheme and not a decode error', () => {
  const { public: ak } = good.ak as { public: Uint8Array }
  const odd = Buffer.from(ak)
  odd.writeUInt16BE(0x1234, 14)
  const appraisal = appraise({ ...good, ak: { public: odd } })
  assert.equal(checkNamed(appraisal, 'quote.scheme').outcome, 'fail')
  assert.equal(appraisal.status, 'contraindicated')
})

test('a public area whose point is on no curve is a failed signature', () => {
  assert.equal(tpm.ak.type, 'ecc')
  const ak = encode(TPM2B_PUBLIC, { ...tpm.ak, unique: { x: Buffer.alloc(32, 1), y: Buffer.alloc(32, 1) } })
  const check = checkNamed(appraise({ ...good, ak: { public: ak } }), 'quote.signature')
  assert.equal(check.code, 'tpm.public_key_invalid')
})

test('a PEM shows no attributes, so the verdict is a warning at best', () => {
  const appraisal = appraise({ ...without(good, 'ek'), ak: { pem: tpm.akPem } })
  assert.equal(checkNamed(appraisal, 'ak.attributes').outcome, 'warn')
  assert.equal(checkNamed(appraisal, 'ak.attributes').code, 'ak.attributes_unseen')
  assert.equal(appraisal.status, 'warning')
})

test('with a PEM the qualified Name cannot be checked, which is not a pass', () => {
  const appraisal = appraise({ ...good, ak: { pem: tpm.akPem } })
  assert.equal(checkNamed(appraisal, 'ak.qualified-name').outcome, 'indeterminate')
  assert.equal(appraisal.status, 'contraindicated')
})

test('a PEM that is none, or is a private key, is refused', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  for (const text of ['', pem, '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n']) {
    assert.throws(() => appraise({ ...good, ak: { pem: text } }), { code: 'ak.pem' })
  }
})

test('a quote by a key under another endorsement key fails its qualified Name', () => {
  const appraisal = appraise({ ...good, ek: fakeTpm().ekBytes })
  assert.equal(checkNamed(appraisal, 'ak.qualified-name').outcome, 'fail')
  assert.equal(appraisal.status, 'contraindicated')
})

test('an attribute changed in the AK’s public area alone fails its qualified Name', () => {
  const changed = { ...tpm.ak, objectAttributes: { ...tpm.ak.objectAttributes, userWithAuth: false } }
  const appraisal = appraise({ ...good, ak: { public: encode(TPM2B_PUBLIC, changed) } })
  assert.equal(checkNamed(appraisal, 'quote.signature').outcome, 'pass')
  assert.equal(checkNamed(appraisal, 'ak.qualified-name').outcome, 'fail')
})

test('without an endorsement key nobody asks for the qualified Name, and evidence can be affirming', () => {
  const appraisal = appraise(without(good, 'ek'))
  assert.equal(appraisal.status, 'affirming')
  assert.ok(!appraisal.checks.some(({ check }) => check === 'ak.qualified-name'))
})

test('a key that is not enrolled is 97 and a revoked one 96 in instance-identity', () => {
  const unknown = appraise({ ...good, enrolment: 'unknown' })
  assert.equal(checkNamed(unknown, 'ak.enrolled').code, 'ak.unknown')
  assert.equal(unknown.vector['instance-identity'], 97)
  assert.equal(unknown.status, 'contraindicated')
  const revoked = appraise({ ...good, enrolment: 'revoked' })
  assert.equal(checkNamed(revoked, 'ak.enrolled').code, 'ak.revoked')
  assert.equal(revoked.vector['instance-identity'], 96)
})

test('the statement that the tests sign is the one that the codec reads', () => {
  assert.deepEqual(good.quote, encode(TPMS_ATTEST, goodQuote))
})
