import assert from 'node:assert/strict'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { execa } from 'execa'
import { parse } from 'yaml'
import { manifestEntry, manifestText, manufacture, powerOn, type Box } from '../../swtpm/index.ts'
import { checkEk, ekDigestOf, parseManifest, parseTrustStore, readEkCertificate } from '../../src/ca/index.ts'
import { decode } from '../../src/codec/index.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import { openFactory, tpm2, type Factory } from './factory.ts'

let factory: Factory
let box: Box

before(async () => {
  factory = await openFactory()
  box = await factory.make('box', 'E1-0001')
})
after(() => factory.close())

async function pem(name: string, der: Uint8Array): Promise<string> {
  const path = join(factory.directory, `${name}.pem`)
  await writeFile(path, new X509Certificate(der).toString())
  return path
}

test('issues EK certificates that OpenSSL verifies strictly, through the issuing CA to the root', async () => {
  const { root, issuing } = factory.vendorCa
  for (const { name, certificate } of box.endorsementKeys) {
    const path = await pem(name, certificate)
    const { stdout } = await execa('openssl', [
      ...['verify', '-x509_strict', '-no-CAfile', '-no-CApath', '-CAfile', root, '-untrusted', issuing],
      path,
    ])
    assert.equal(stdout, `${path}: OK`)
  }
})

test('names the TPM in a critical SAN under an empty subject', async () => {
  for (const { name, certificate } of box.endorsementKeys) {
    const { stdout } = await execa('openssl', ['x509', '-in', await pem(name, certificate), '-noout', '-text'])
    assert.match(stdout, /Subject: *\n/)
    assert.match(
      stdout,
      /Alternative Name: critical\s+DirName:\/2\.23\.133\.2\.1=id:\w{8}\/2\.23\.133\.2\.2=swtpm\/2\.23\.133\.2\.3=id:\w{8}\n/,
    )
    assert.match(stdout, /Extended Key Usage: *\n\s+2\.23\.133\.8\.1\n/)
  }
})

test('puts each EK at its handle and its certificate into write-locked NV', async () => {
  const on = await powerOn({ directory: box.directory })
  try {
    for (const { name, handle, nvIndex, certificate } of box.endorsementKeys) {
      const key = join(factory.directory, `${name}.key.pem`)
      await tpm2(on.tcti, 'tpm2_readpublic', '-Q', '-c', `0x${handle.toString(16)}`, '-f', 'pem', '-o', key)
      const { stdout } = await execa('openssl', ['pkey', '-pubin', '-in', key])
      assert.ok(createPublicKey(stdout).equals(new X509Certificate(certificate).publicKey))
      const index = `0x${nvIndex.toString(16)}`
      assert.deepEqual(await tpm2(on.tcti, 'tpm2_nvread', index), certificate)
      const attributes = parse((await tpm2(on.tcti, 'tpm2_nvreadpublic', index)).toString()) as unknown
      assert.match(JSON.stringify(attributes), /writelocked/)
    }
  } finally {
    await on.powerOff()
  }
})

test('makes endorsement keys that the verifier accepts: template, certificate, purpose, chain, validity', async () => {
  const trust = parseTrustStore([await readFile(factory.vendorCa.bundle, 'utf8')])
  const policy = { certificate: 'required', expired: 'fail', allowSha1: false } as const
  const on = await powerOn({ directory: box.directory })
  try {
    for (const { name, handle, certificate, spkiSha256 } of box.endorsementKeys) {
      const file = join(factory.directory, `${name}.pub`)
      await tpm2(on.tcti, 'tpm2_readpublic', '-Q', '-c', `0x${handle.toString(16)}`, '-f', 'tss', '-o', file)
      const ekPublic = decode('TPM2B_PUBLIC', TPM2B_PUBLIC, await readFile(file))
      assert.equal(ekDigestOf(ekPublic), spkiSha256)
      const input = { ekPublic, certificate: readEkCertificate(certificate), chain: [], trust, now: Date.now(), policy }
      const { checks } = checkEk(input)
      assert.deepEqual(
        checks.filter(({ outcome }) => outcome !== 'pass'),
        [],
      )
    }
  } finally {
    await on.powerOff()
  }
})

test('gives the TPM the banks of the recorded machine and no other', async () => {
  const on = await powerOn({ directory: box.directory })
  try {
    const banks = (await tpm2(on.tcti, 'tpm2_getcap', 'pcrs')).toString()
    assert.deepEqual(
      [...banks.matchAll(/- (\w+): \[ ([^\]]*)\]/g)].flatMap(([, bank, registers]) => (registers === '' ? [] : [bank])),
      ['sha1', 'sha256', 'sha384'],
    )
  } finally {
    await on.powerOff()
  }
})

test('lists the box in a manifest by all its EKs', () => {
  const entry = manifestEntry(box, { site: 'north' })
  assert.deepEqual(entry, {
    model: 'Edge One',
    serial: 'E1-0001',
    eks: box.endorsementKeys.map(({ spkiSha256 }) => spkiSha256),
    labels: { site: 'north' },
  })
  const manifest = parseManifest(manifestText('boxes', [entry]))
  assert.deepEqual([manifest.name, manifest.nodes], ['boxes', [entry]])
})

test('makes many boxes at once, each with EKs and a serial of its own', async () => {
  const boxes = await Promise.all(['a', 'b', 'c', 'd'].map((name) => factory.make(name)))
  assert.equal(new Set(boxes.map(({ serial }) => serial)).size, 4)
  assert.equal(new Set(boxes.flatMap((one) => manifestEntry(one).eks)).size, 8)
})

test('refuses to make a box where one is, and leaves that one as it was', async () => {
  await assert.rejects(factory.make('box'), (error) => isTouchstoneError(error, 'standin.state'))
})

test('says what went wrong when the vendor cannot issue', async () => {
  const vendorCa = { ...factory.vendorCa, directory: join(factory.directory, 'nowhere') }
  await assert.rejects(
    manufacture({ directory: join(factory.directory, 'broken'), vendorCa, model: 'Edge One' }),
    (error) => isTouchstoneError(error, 'standin.tool') && error.message.includes('issue-ek-certificate'),
  )
})

test('makes a box where an earlier attempt was broken off', async () => {
  const vendorCa = { ...factory.vendorCa, directory: join(factory.directory, 'nowhere') }
  const directory = join(factory.directory, 'second-attempt')
  await assert.rejects(manufacture({ directory, vendorCa, model: 'Edge One' }))
  assert.equal((await factory.make('second-attempt', 'E1-2')).serial, 'E1-2')
})
