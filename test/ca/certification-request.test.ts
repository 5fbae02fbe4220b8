import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { execa } from 'execa'
import { makeCertificationRequest } from '../../src/ca/certification-request.ts'
import { parseRequest } from '../../src/ca/request.ts'
import { decode } from '../../src/codec/index.ts'
import { createEk, createKey, loadKey, openTpmTools, signDigest } from '../../src/device/index.ts'
import { spkiOf, TPM2B_PUBLIC } from '../../src/tpm/index.ts'
import { freshTpm } from '../fixtures/swtpm.ts'

test('OpenSSL and the verifier take a request that the TPM signed', async (t) => {
  const tpm = await freshTpm()
  t.after(() => tpm.close())
  const tools = await openTpmTools(tpm.tcti)
  t.after(() => tools.close())
  const ek = await createEk(tools, 'L-2')
  const key = await loadKey(tools, ek, 'device', await createKey(tools, ek, 'signing'))
  const request = await makeCertificationRequest(key.publicArea, 'S/N 0012 ä', (digest) =>
    signDigest(tools, key, digest),
  )
  const parsed = parseRequest(request)
  assert.equal(parsed.signatureProblem, undefined)
  assert.deepEqual(parsed.surprises, [])
  assert.ok(parsed.spki.equals(spkiOf(decode('TPM2B_PUBLIC', TPM2B_PUBLIC, key.publicArea))))
  const directory = await mkdtemp(join(tmpdir(), 'touchstone-test-csr-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'csr.der')
  await writeFile(file, request)
  const { stdout, stderr } = await execa('openssl', [
    'req',
    '-in',
    file,
    '-inform',
    'DER',
    '-verify',
    '-noout',
    '-subject',
    '-nameopt',
    'utf8',
  ])
  assert.match(stdout + stderr, /verify OK/)
  assert.match(stdout, /CN ?= ?S\/N 0012 ä/)
})
