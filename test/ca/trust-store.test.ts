import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { toPem } from '../../src/ca/path/index.ts'
import { parseTrustStore } from '../../src/ca/trust-store.ts'
import { isTouchstoneError } from '../../src/core/index.ts'
import { authority } from './certificates.ts'

describe('a trust store', () => {
  test('trusts what was issued under its own name, and uses the rest for paths', async () => {
    const root = await authority('root')
    const issuing = await authority('issuing', root)
    const other = await authority('other')
    const text = (...made: { certificate: { der: Buffer } }[]) =>
      made.map(({ certificate }) => toPem(certificate.der)).join('')
    const { anchors, intermediates } = parseTrustStore([text(issuing, root), text(other)])
    assert.deepEqual(anchors, [root.certificate, other.certificate])
    assert.deepEqual(intermediates, [issuing.certificate])
  })

  test('is refused where a file holds no certificate', () => {
    assert.throws(
      () => parseTrustStore(['']),
      (error) => isTouchstoneError(error, 'ca.pem_empty'),
    )
  })
})
