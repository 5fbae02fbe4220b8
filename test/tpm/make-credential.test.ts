import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { decode, encode } from '../../src/codec/index.ts'
import { makeCredential, matchEkTemplate, nameOf, TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import { openCredential } from '../../src/tpm/open-credential.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'
import { credentialFile, readCredentialFile } from '../fixtures/tpm/credential-file.ts'
import { softwareEk } from '../fixtures/tpm/software-ek.ts'
import type { EkKind } from '../fixtures/tpm/software-ek.ts'

const KINDS: readonly EkKind[] = ['rsa2048', 'p256', 'p384', 'p521']
const LOW_POLICY = '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa'
const HIGH_POLICY = {
  sha256: 'ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0',
  sha384: 'b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12',
} as const
const LOW = 'fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|restricted|decrypt'
const HIGH = `${LOW}|userwithauth`

const EKS = [
  { name: 'L-1', alg: 'rsa2048:aes128cfb', hash: 'sha256', attributes: LOW, policy: LOW_POLICY },
  { name: 'L-2', alg: 'ecc256:aes128cfb', hash: 'sha256', attributes: LOW, policy: LOW_POLICY },
  { name: 'H-1', alg: 'rsa2048:aes128cfb', hash: 'sha256', attributes: HIGH, policy: HIGH_POLICY.sha256 },
  { name: 'H-2', alg: 'ecc256:aes128cfb', hash: 'sha256', attributes: HIGH, policy: HIGH_POLICY.sha256 },
  { name: 'H-3', alg: 'ecc384:aes256cfb', hash: 'sha384', attributes: HIGH, policy: HIGH_POLICY.sha384 },
] as const

async function createEk(tpm: TestTpm, { name, alg, hash, attributes, policy }: (typeof EKS)[number]) {
  await tpm.write(`${name}.policy`, Buffer.from(policy, 'hex'))
  const template = ['-C', 'e', '-G', alg, '-g', hash, '-a', attributes, '-L', `${name}.policy`]
  await tpm.run('tpm2_createprimary', ...template, '-c', `${name}.ctx`)
  await tpm.run('tpm2_readpublic', '-c', `${name}.ctx`, '-o', `${name}.pub`)
  return decode('TPM2B_PUBLIC', TPM2B_PUBLIC, await tpm.read(`${name}.pub`))
}

describe('credential protection against swtpm and tpm2-tools', () => {
  let tpm: TestTpm
  let akName: Buffer
  before(async () => {
    tpm = await freshTpm()
    const attributes = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign|noda'
    await tpm.run('tpm2_createprimary', '-C', 'o', '-G', 'ecc256:ecdsa-sha256:null', '-a', attributes, '-c', 'ak.ctx')
    await tpm.run('tpm2_readpublic', '-c', 'ak.ctx', '-n', 'ak.name')
    akName = await tpm.read('ak.name')
  })
  after(() => tpm.close())

  for (const row of EKS) {
    test(`a TPM opens a credential for its EK of template ${row.name}`, async () => {
      const ek = await createEk(tpm, row)
      assert.deepEqual(matchEkTemplate(ek), { name: row.name })
      const secret = randomBytes(32)
      await tpm.write('cred', credentialFile(makeCredential({ ek, akName, secret, random: randomBytes })))
      const files = ['-c', 'ak.ctx', '-C', `${row.name}.ctx`, '-i', 'cred', '-o', `${row.name}.secret`]
      if (row.attributes === LOW) {
        await tpm.run('tpm2_startauthsession', '--policy-session', '-S', 'session')
        await tpm.run('tpm2_policysecret', '-S', 'session', '-c', 'e')
        await tpm.run('tpm2_activatecredential', ...files, '-P', 'session:session')
        await tpm.run('tpm2_flushcontext', 'session')
      } else {
        await tpm.run('tpm2_activatecredential', ...files)
      }
      assert.deepEqual(await tpm.read(`${row.name}.secret`), secret)
    })
  }

  for (const kind of KINDS) {
    test(`opens what tpm2_makecredential made for a ${kind} EK`, async () => {
      const { ek, ekPrivate } = softwareEk(kind)
      const secret = randomBytes(20)
      await tpm.write('soft.pub', encode(TPM2B_PUBLIC, ek))
      await tpm.write('soft.secret', secret)
      const files = ['-u', 'soft.pub', '-s', 'soft.secret', '-n', akName.toString('hex'), '-o', `${kind}.cred`]
      await tpm.run('tpm2_makecredential', ...files)
      const credential = readCredentialFile(await tpm.read(`${kind}.cred`))
      assert.deepEqual(openCredential({ ek, ekPrivate, akName, ...credential }), secret)
    })
  }
})

for (const kind of KINDS) {
  test(`a credential for a ${kind} EK opens with its key and Name, and with nothing else`, () => {
    const { ek, ekPrivate } = softwareEk(kind)
    const akName = nameOf(ek)
    const secret = randomBytes(32)
    const credential = makeCredential({ ek, akName, secret, random: randomBytes })
    assert.deepEqual(openCredential({ ek, ekPrivate, akName, ...credential }), secret)

    const otherName = Buffer.from(akName)
    otherName.writeUInt8(otherName.readUInt8(5) ^ 1, 5)
    const refused = { code: 'tpm.credential_rejected' }
    assert.throws(() => openCredential({ ek, ekPrivate, akName: otherName, ...credential }), refused)
    const other = softwareEk(kind)
    assert.throws(() => openCredential({ ...other, akName, ...credential }), refused)
  })
}

test('one source of randomness gives one credential, another a different one', () => {
  const { ek } = softwareEk('p256')
  const make = (fill: number) =>
    makeCredential({ ek, akName: nameOf(ek), secret: Buffer.alloc(32), random: (size) => Buffer.alloc(size, fill) })
  assert.deepEqual(make(1), make(1))
  assert.notDeepEqual(make(1), make(2))
})

test('pads short coordinates before they enter the key derivation', () => {
  // A coordinate with a leading zero byte comes up once in 256 keys; a TPM may leave that byte out.
  for (;;) {
    const { ek, ekPrivate } = softwareEk('p256')
    if (ek.type !== 'ecc' || ek.unique.x[0] !== 0) continue
    const stripped = { ...ek, unique: { ...ek.unique, x: ek.unique.x.subarray(1) } }
    const akName = nameOf(ek)
    const secret = randomBytes(16)
    const credential = makeCredential({ ek: stripped, akName, secret, random: randomBytes })
    assert.deepEqual(openCredential({ ek, ekPrivate, akName, ...credential }), secret)
    return
  }
})

describe('what credentials are not made for', () => {
  const { ek } = softwareEk('p256')
  const make = (change: object, secret = Buffer.alloc(32)) =>
    makeCredential({ ek: Object.assign({}, ek, change), akName: nameOf(ek), secret, random: randomBytes })

  test('a key that signs', () => {
    const objectAttributes = { ...ek.objectAttributes, decrypt: false, sign: true }
    assert.throws(() => make({ objectAttributes }), { code: 'tpm.credential_key' })
  })
  test('an unrestricted key', () => {
    const objectAttributes = { ...ek.objectAttributes, restricted: false }
    assert.throws(() => make({ objectAttributes }), { code: 'tpm.credential_key' })
  })
  test('a key without a symmetric algorithm', () => {
    const parameters = { ...ek.parameters, symmetric: { algorithm: 'null' } }
    assert.throws(() => make({ parameters }), { code: 'tpm.credential_key' })
  })
  test('a point off the curve', () => {
    const unique = { x: Buffer.alloc(32, 1), y: Buffer.alloc(32, 1) }
    assert.throws(() => make({ unique }), { code: 'tpm.public_key_invalid' })
  })
  test('a curve that is not computed with', () => {
    const parameters = { ...ek.parameters, curveID: 'sm2_p256' }
    assert.throws(() => make({ parameters }), { code: 'tpm.algorithm_unsupported' })
  })
  test('a secret that a TPM would refuse for its length', () => {
    assert.throws(() => make({}, Buffer.alloc(33)), { code: 'tpm.credential_secret' })
    assert.throws(() => make({}, Buffer.alloc(0)), { code: 'tpm.credential_secret' })
  })
})
