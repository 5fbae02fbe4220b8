import assert from 'node:assert/strict'
import test from 'node:test'
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
