import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parsePem, validatePath, type Certificate } from '../../../src/ca/path/index.ts'
import { signatureProblem, signedBytesOf } from '../../../src/ca/path/signature.ts'
import { NOW } from '../certificates.ts'
import { inTemporaryDirectory, openssl, opensslVerifies } from '../openssl.ts'

interface Recipe {
  /** Arguments of `openssl genpkey` for the root's key. */
  readonly key: readonly string[]
  /** Arguments of the commands that sign root and leaf. */
  readonly sign?: readonly string[]
}

const P256 = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']
const RSA = ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048']
const pss = (hash: string, mask: string, salt: string) => [
  ...[
    '-sha256',
    '-sigopt',
    'rsa_padding_mode:pss',
    '-sigopt',
    `rsa_mgf1_md:${mask}`,
    '-sigopt',
    `rsa_pss_saltlen:${salt}`,
  ],
  `-${hash}`,
]

/** A leaf and its root, both made by OpenSSL. */
function chainBy({
  key,
  sign = ['-sha256'],
}: Recipe): Promise<{ readonly leaf: Certificate; readonly root: Certificate }> {
  return inTemporaryDirectory(async (directory) => {
    const [rootKey, leafKey, root, request, extensions] = ['rk', 'lk', 'root', 'request', 'extensions'].map((name) =>
      join(directory, name),
    ) as [string, string, string, string, string]
    await openssl(['genpkey', ...key, '-out', rootKey])
    await openssl(['genpkey', ...P256, '-out', leafKey])
    await openssl([
      ...['req', '-x509', '-new', '-key', rootKey, '-out', root, '-subj', '/CN=root', '-days', '3650', ...sign],
      ...['-addext', 'keyUsage=critical,keyCertSign'],
    ])
    await openssl(['req', '-new', '-key', leafKey, '-out', request, '-subj', '/CN=leaf'])
    await writeFile(extensions, 'authorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n')
    const leaf = await openssl([
      ...['x509', '-req', '-in', request, '-CA', root, '-CAkey', rootKey, '-days', '3650', '-extfile', extensions],
      ...sign,
    ])
    const made = [...parsePem(leaf), ...parsePem(await openssl(['x509', '-in', root]))]
    const [first, second] = made
    assert.ok(first !== undefined && second !== undefined)
    return { leaf: first, root: second }
  })
}

async function outcome(recipe: Recipe, allowSha1 = false): Promise<string> {
  const { leaf, root } = await chainBy(recipe)
  const result = validatePath({ leaf, intermediates: [], anchors: [root], now: 'ignoreValidity', allowSha1 })
  if (result.ok) {
    assert.ok(await opensslVerifies({ leaf, intermediates: [], anchors: [root], now: leaf.notBefore }))
  }
  return result.ok ? 'ok' : result.failure.code
}

describe('signatures by OpenSSL', () => {
  const table: readonly (readonly [string, Recipe, string])[] = [
    ['ECDSA with SHA-512 on P-256 is accepted', { key: P256, sign: ['-sha512'] }, 'ok'],
    ['RSA with SHA-512 is accepted', { key: RSA, sign: ['-sha512'] }, 'ok'],
    ['PSS with a salt of the digest is accepted', { key: RSA, sign: pss('sha256', 'sha256', '32') }, 'ok'],
    ['PSS without salt is accepted', { key: RSA, sign: pss('sha384', 'sha384', '0') }, 'ok'],
    [
      'PSS whose mask uses another hash is refused',
      { key: RSA, sign: pss('sha384', 'sha256', '32') },
      'path.algorithm',
    ],
    ['PSS with SHA-1 is refused', { key: RSA, sign: pss('sha1', 'sha1', '20') }, 'path.algorithm'],
    [
      'PSS by a key that is for PSS alone is accepted',
      { key: ['-algorithm', 'RSA-PSS'], sign: pss('sha256', 'sha256', '32') },
      'ok',
    ],
    ['ECDSA with SHA-224 is refused', { key: P256, sign: ['-sha224'] }, 'path.algorithm'],
    ['Ed25519 is refused', { key: ['-algorithm', 'ED25519'], sign: [] }, 'path.algorithm'],
    [
      'a curve outside NIST is refused',
      { key: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1'] },
      'path.key',
    ],
    ['P-256 by explicit parameters is refused', { key: [...P256, '-pkeyopt', 'ec_param_enc:explicit'] }, 'path.key'],
  ]
  for (const [lesson, recipe, expected] of table) {
    test(lesson, async () => {
      assert.equal(await outcome(recipe), expected)
    })
  }

  test('RSA with SHA-1 is accepted only where that is allowed', async () => {
    const recipe = { key: RSA, sign: ['-sha1'] }
    assert.equal(await outcome(recipe), 'path.algorithm')
    assert.equal(await outcome(recipe, true), 'ok')
  })

  test("a scheme that the issuer's own key forbids is a signature that does not hold, not an exception", async () => {
    const limits = ['rsa_pss_keygen_md:sha512', 'rsa_pss_keygen_mgf1_md:sha512', 'rsa_pss_keygen_saltlen:64']
    const key = ['-algorithm', 'RSA-PSS', ...limits.flatMap((limit) => ['-pkeyopt', limit])]
    const { root } = await chainBy({ key, sign: pss('sha512', 'sha512', '64') })
    const { leaf } = await chainBy({ key: RSA, sign: pss('sha256', 'sha256', '32') })
    assert.equal(signatureProblem(signedBytesOf(leaf), root), 'path.signature')
    assert.equal(signatureProblem(signedBytesOf(root), root), undefined)
  })

  test('certificates made now are not valid in another year', async () => {
    const { leaf, root } = await chainBy({ key: P256 })
    const result = validatePath({ leaf, intermediates: [], anchors: [root], now: NOW - 40 * 365 * 86_400_000 })
    assert.equal(result.ok ? undefined : result.failure.code, 'path.not_yet_valid')
  })
})
