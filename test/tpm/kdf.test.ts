import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { HASHES } from '../../src/tpm/index.ts'
import type { HashName } from '../../src/tpm/index.ts'
import { kdfa, kdfe } from '../../src/tpm/kdf.ts'

/** OpenSSL's own derivation: the same two algorithms under their NIST names. */
function openssl(kdf: 'KBKDF' | 'SSKDF', size: number, options: Readonly<Record<string, string>>): string {
  const args = Object.entries(options).flatMap(([name, value]) => ['-kdfopt', `${name}:${value}`])
  const out = execFileSync('openssl', ['kdf', '-keylen', String(size), ...args, kdf], { encoding: 'utf8' })
  return out.trim().replaceAll(':', '').toLowerCase()
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

for (const hash of ['sha1', 'sha256', 'sha384', 'sha512'] as const satisfies readonly HashName[]) {
  for (const bits of [128, 256, HASHES[hash].size * 8, 1000]) {
    const size = bits / 8
    test(`KDFa over ${hash} for ${bits} bits is OpenSSL's KBKDF`, () => {
      const key = randomBytes(32)
      const contextU = randomBytes(34)
      const contextV = randomBytes(16)
      const expected = openssl('KBKDF', size, {
        mac: 'HMAC',
        digest: hash,
        mode: 'COUNTER',
        hexkey: hex(key),
        salt: 'STORAGE',
        hexinfo: hex(Buffer.concat([contextU, contextV])),
      })
      assert.equal(hex(kdfa({ hash, key, label: 'STORAGE', contextU, contextV, bits })), expected)
    })

    test(`KDFe over ${hash} for ${bits} bits is OpenSSL's SSKDF`, () => {
      const z = randomBytes(32)
      const partyUInfo = randomBytes(32)
      const partyVInfo = randomBytes(32)
      const info = Buffer.concat([Buffer.from('IDENTITY\0'), partyUInfo, partyVInfo])
      const expected = openssl('SSKDF', size, { digest: hash, hexkey: hex(z), hexinfo: hex(info) })
      assert.equal(hex(kdfe({ hash, z, use: 'IDENTITY', partyUInfo, partyVInfo, bits })), expected)
    })
  }
}

test('bits that were not asked for are zero at the top', () => {
  const whole = kdfa({ hash: 'sha256', key: Buffer.alloc(1), label: 'X', bits: 521 })
  assert.equal(whole.byteLength, 66)
  assert.ok((whole[0] ?? 0xff) <= 1)
})
