import assert from 'node:assert/strict'
import test from 'node:test'
import { toHex } from '../../src/core/index.ts'
import { evidenceQualifyingData, onboardingBinding, onboardingProof } from '../../src/wire/index.ts'

const binding = {
  session: 's',
  ekSpki: Buffer.from('e'),
  akName: Buffer.from('a'),
  deviceKeyName: Buffer.from('d'),
  request: Buffer.from('r'),
  eventLog: Buffer.from('l'),
  imaLog: Buffer.from('i'),
  model: 'm',
  serial: 'n',
  pcrBanks: ['sha256'],
} as const

for (const field of Object.keys(binding) as (keyof typeof binding)[]) {
  test(`another ${field} gives another binding`, () => {
    const changed =
      field === 'pcrBanks' ? ['sha256', 'sha384'] : typeof binding[field] === 'string' ? 'x' : Buffer.from('x')
    const other = { ...binding, [field]: changed }
    assert.notDeepEqual(onboardingBinding(other), onboardingBinding(binding))
  })
}

test('a list of IMA that goes on has another binding than one that ends', () => {
  assert.notDeepEqual(onboardingBinding({ ...binding, imaMore: true }), onboardingBinding(binding))
  assert.deepEqual(onboardingBinding({ ...binding, imaMore: undefined }), onboardingBinding(binding))
})

test('with a log of systemd the binding is another one, and without it what it always was', () => {
  const bindings = [{}, { userspaceLog: Buffer.alloc(0) }, { userspaceLog: Buffer.from('x') }, { imaMore: true }].map(
    (more) => toHex(onboardingBinding({ ...binding, ...more })),
  )
  assert.equal(new Set(bindings).size, bindings.length)
  assert.deepEqual(onboardingBinding({ ...binding, userspaceLog: undefined }), onboardingBinding(binding))
  const quotes = [undefined, Buffer.alloc(0), Buffer.from('x')].map((log) =>
    toHex(evidenceQualifyingData(Buffer.from('n'), {}, undefined, log)),
  )
  assert.equal(new Set(quotes).size, quotes.length)
})

test('banks are a set: their order does not matter to the binding', () => {
  assert.deepEqual(
    onboardingBinding({ ...binding, pcrBanks: ['sha256', 'sha1'] }),
    onboardingBinding({ ...binding, pcrBanks: ['sha1', 'sha256'] }),
  )
})

test('no byte can move from one field to the next', () => {
  assert.notDeepEqual(
    onboardingBinding({ ...binding, model: 'mn', serial: '' }),
    onboardingBinding({ ...binding, model: 'm', serial: 'n' }),
  )
})

test('the proof depends on secret and binding', () => {
  const proof = onboardingProof(Buffer.alloc(32), Buffer.from('b'))
  assert.notDeepEqual(onboardingProof(Buffer.alloc(32, 1), Buffer.from('b')), proof)
  assert.notDeepEqual(onboardingProof(Buffer.alloc(32), Buffer.from('c')), proof)
})

test('what a node asks for is part of what its quote signs', () => {
  const nonce = Buffer.from('n')
  const requests = [{}, { audience: 'a' }, { relyingPartyNonce: 'a' }, { renewal: Buffer.from('a') }, { audience: 'b' }]
  const digests = requests.map((request) => evidenceQualifyingData(nonce, request).toString('hex'))
  assert.equal(new Set(digests).size, requests.length)
})
