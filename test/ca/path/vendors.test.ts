import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { parseCertificate, parsePem, validatePath } from '../../../src/ca/path/index.ts'
import { SKIP_WITHOUT_SHARED_DATA, sharedData } from '../../fixtures/shared-data.ts'
import { opensslVerifies } from '../openssl.ts'

const pems = (name: string) => parsePem(readFileSync(sharedData(`ek/vendors/${name}`), 'utf8'))
const leaf = (name: string) => parseCertificate(readFileSync(sharedData(`ek/leaf/${name}`)))
/** A day on which none of them has expired. */
const NOW = Date.UTC(2026, 10, 1)

describe('the certificates of TPM vendors', { skip: SKIP_WITHOUT_SHARED_DATA }, () => {
  test('every intermediate has a path to a root', () => {
    const anchors = pems('roots.pem')
    const intermediates = pems('intermediates.pem')
    assert.ok(intermediates.length > 100)
    for (const certificate of intermediates) {
      const given = { leaf: certificate, intermediates, anchors, now: NOW }
      const result = validatePath(given)
      assert.ok(result.ok, result.ok ? '' : JSON.stringify(result.failure))
    }
  })

  test('an ST33 leaf validates against the public roots', async () => {
    const given = {
      leaf: leaf('st33-rsa2048.der'),
      intermediates: pems('intermediates.pem'),
      anchors: pems('roots.pem'),
      now: NOW,
    }
    assert.ok(validatePath(given).ok)
    assert.ok(await opensslVerifies(given))
  })

  test('an Intel PTT leaf needs the legacy chain', async () => {
    const given = { leaf: leaf('intel-ptt-rsa2048.der'), intermediates: pems('intermediates.pem'), now: NOW }
    const without = validatePath({ ...given, anchors: pems('roots.pem') })
    assert.equal(without.ok ? undefined : without.failure.code, 'path.no_issuer')
    const intermediates = [...given.intermediates, ...pems('extra/INTEL_I.pem')]
    const withIt = { ...given, intermediates, anchors: [...pems('roots.pem'), ...pems('extra/INTEL_RT.pem')] }
    const result = validatePath(withIt)
    assert.ok(result.ok)
    assert.equal(result.path.length, 3)
    assert.ok(await opensslVerifies(withIt))
  })

  test('an issuer whose name is of another string type is still the issuer', () => {
    const anchors = pems('roots.pem')
    const intermediates = pems('intermediates.pem')
    const result = intermediates
      .map((certificate) => validatePath({ leaf: certificate, intermediates, anchors, now: NOW }))
      .find((path) => path.ok && path.path.some((lower, at) => differsInBytes(lower, path.path[at + 1])))
    assert.ok(result !== undefined)
  })
})

function differsInBytes(lower: { issuer: { raw: Buffer } }, upper: { subject: { raw: Buffer } } | undefined): boolean {
  return upper !== undefined && !lower.issuer.raw.equals(upper.subject.raw)
}
