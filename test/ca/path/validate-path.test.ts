import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ExtendedKeyUsageExtension, KeyUsageFlags } from '../x509-library.ts'
import type { Certificate, PathFailureCode } from '../../../src/ca/path/index.ts'
import { OID, parseCertificate, parsePem, validatePath } from '../../../src/ca/path/index.ts'
import { isTouchstoneError } from '../../../src/core/index.ts'
import { authority, endEntity, extension, make, NOW, type Made } from '../certificates.ts'
import { inTemporaryDirectory, openssl, opensslVerifies } from '../openssl.ts'

interface Row {
  readonly lesson: string
  /** Leaf first, then intermediates, anchor last. */
  readonly chain: () => Promise<readonly Made[]>
  readonly now?: number
  readonly expected: 'ok' | PathFailureCode
  /** Why OpenSSL judges otherwise, where it does. */
  readonly differs?: string
}

const UNKNOWN = '1.3.6.1.4.1.99999.1'
const anyPolicyExtension = '300830060604551d2000'

/** Root, intermediate and leaf, each changed as told. */
function three(
  root: Parameters<typeof authority>[2] = {},
  intermediate: Parameters<typeof authority>[2] = {},
  leaf: Parameters<typeof endEntity>[2] = {},
): () => Promise<readonly Made[]> {
  return async () => {
    const top = await authority('root', undefined, root)
    const middle = await authority('intermediate', top, intermediate)
    return [await endEntity('leaf', middle, leaf), middle, top]
  }
}

const rows: readonly Row[] = [
  { lesson: 'accepts a chain of three', chain: three(), expected: 'ok' },
  {
    lesson: 'accepts a chain of two',
    chain: async () => {
      const root = await authority('root')
      return [await endEntity('leaf', root), root]
    },
    expected: 'ok',
  },
  {
    lesson: 'accepts P-521 over P-384 over P-256',
    chain: three({ key: 'p521' }, { key: 'p384' }),
    expected: 'ok',
  },
  { lesson: 'accepts RSA PKCS#1 signatures', chain: three({ key: 'rsa' }, { key: 'rsa' }), expected: 'ok' },
  { lesson: 'accepts RSA-PSS signatures', chain: three({ key: 'pss' }, { key: 'rsa' }), expected: 'ok' },
  {
    lesson: 'accepts an anchor that is not self-signed',
    chain: async () => {
      const [leaf, middle] = await three()()
      return [leaf, middle].filter((made) => made !== undefined)
    },
    expected: 'ok',
  },
  {
    lesson: 'accepts unknown extensions that are not critical',
    chain: three({}, { extensions: [extension(UNKNOWN, '0500')] }, { extensions: [extension(UNKNOWN, '0500')] }),
    expected: 'ok',
  },
  {
    lesson: 'accepts critical certificate policies',
    chain: three({}, { extensions: [extension(OID.certificatePolicies, anyPolicyExtension, true)] }),
    expected: 'ok',
  },
  {
    lesson: 'accepts a path as long as its constraints allow',
    chain: three({ basic: { ca: true, pathLength: 1 } }, { basic: { ca: true, pathLength: 0 } }),
    expected: 'ok',
  },
  {
    lesson: 'refuses an authority below a path length of 0',
    chain: three({ basic: { ca: true, pathLength: 0 } }),
    expected: 'path.length',
  },
  {
    lesson: 'refuses two authorities below a path length of 1',
    chain: async () => {
      const root = await authority('root', undefined, { basic: { ca: true, pathLength: 1 } })
      const first = await authority('first', root)
      const second = await authority('second', first)
      return [await endEntity('leaf', second), second, first, root]
    },
    expected: 'path.length',
  },
  {
    lesson: 'does not count a self-issued authority in the path length',
    chain: async () => {
      const root = await authority('root', undefined, { basic: { ca: true, pathLength: 1 } })
      const old = await authority('authority', root)
      const rolledOver = await authority('authority', old)
      return [await endEntity('leaf', rolledOver), rolledOver, old, root]
    },
    expected: 'ok',
  },
  {
    lesson: 'refuses an unknown critical extension in the leaf',
    chain: three({}, {}, { extensions: [extension(UNKNOWN, '0500', true)] }),
    expected: 'path.critical_extension',
  },
  {
    lesson: 'refuses an unknown critical extension in an authority',
    chain: three({}, { extensions: [extension(UNKNOWN, '0500', true)] }),
    expected: 'path.critical_extension',
  },
  {
    lesson: 'refuses an unknown critical extension in the anchor',
    chain: three({ extensions: [extension(UNKNOWN, '0500', true)] }),
    expected: 'path.critical_extension',
  },
  { lesson: 'refuses an expired leaf', chain: three({}, {}, { notAfter: NOW - 1000 }), expected: 'path.expired' },
  { lesson: 'refuses an expired authority', chain: three({}, { notAfter: NOW - 1000 }), expected: 'path.expired' },
  { lesson: 'refuses an expired anchor', chain: three({ notAfter: NOW - 1000 }), expected: 'path.expired' },
  {
    lesson: 'refuses a leaf that is not valid yet',
    chain: three({}, {}, { notBefore: NOW + 1000 }),
    expected: 'path.not_yet_valid',
  },
  { lesson: 'accepts the first second of validity', chain: three({}, {}, { notBefore: NOW }), expected: 'ok' },
  {
    lesson: 'accepts the last second of validity',
    chain: three({}, {}, { notAfter: NOW }),
    expected: 'ok',
    differs: 'OpenSSL ends validity a second before notAfter, which RFC 5280 section 4.1.2.5 includes',
  },
  {
    lesson: 'judges dates beyond 2050',
    chain: three({ notAfter: Date.UTC(2999, 0) }, { notAfter: Date.UTC(2999, 0) }, { notAfter: Date.UTC(2060, 0) }),
    now: Date.UTC(2060, 0) + 1000,
    expected: 'path.expired',
  },
  {
    lesson: 'refuses an issuer whose basic constraints deny an authority',
    chain: three({}, { basic: { ca: false } }),
    expected: 'path.not_ca',
  },
  {
    lesson: 'refuses an issuer without basic constraints',
    chain: async () => {
      const root = await authority('root')
      const middle = await make({ name: 'CN=bare', issuer: root, usage: KeyUsageFlags.keyCertSign })
      return [await endEntity('leaf', middle), middle, root]
    },
    expected: 'path.not_ca',
  },
  {
    lesson: 'refuses an issuer whose key usage is not keyCertSign',
    chain: three({}, { usage: KeyUsageFlags.digitalSignature }),
    expected: 'path.key_usage',
  },
  {
    lesson: 'refuses an issuer without key usage',
    chain: async () => {
      const root = await authority('root')
      const middle = await make({ name: 'CN=bare', issuer: root, basic: { ca: true } })
      return [await endEntity('leaf', middle), middle, root]
    },
    expected: 'path.key_usage',
  },
  {
    lesson: 'refuses a certificate by another key under the same name',
    chain: async () => {
      const root = await authority('root')
      const impostor = await authority('root')
      return [await endEntity('leaf', impostor), root]
    },
    expected: 'path.signature',
  },
  {
    lesson: 'refuses a certificate whose issuer is called otherwise',
    chain: async () => {
      const root = await authority('root')
      return [await endEntity('leaf', root, { issuerName: 'CN=elsewhere' }), root]
    },
    expected: 'path.no_issuer',
  },
  {
    lesson: 'refuses a name that differs in letter case alone',
    chain: async () => {
      const root = await authority('Vendor')
      return [await endEntity('leaf', root, { issuerName: 'CN=vendor' }), root]
    },
    expected: 'path.no_issuer',
    differs: 'OpenSSL compares names without regard to case',
  },
  {
    lesson: 'refuses name constraints',
    chain: three({}, { extensions: [extension(OID.nameConstraints, '300aa0083006820473616665', true)] }),
    expected: 'path.name_constraints',
    differs: 'OpenSSL evaluates them',
  },
  {
    lesson: 'refuses policy constraints',
    chain: three({}, { extensions: [extension(OID.policyConstraints, '3003800100', true)] }),
    expected: 'path.policy_constraints',
    differs: 'OpenSSL looks at policies only when told to',
  },
  { lesson: 'refuses an RSA key of 1024 bits', chain: three({}, { key: 'rsa1024' }), expected: 'path.key' },
]

describe('a path, judged as OpenSSL judges it', () => {
  for (const { lesson, chain, now = NOW, expected, differs } of rows) {
    test(lesson, async () => {
      const certificates = (await chain()).map(({ certificate }) => certificate)
      const { leaf, intermediates, anchors } = split(certificates)
      assert.equal(outcome({ leaf, intermediates, anchors, now }), expected)
      const authLevel = ['-auth_level', '2']
      const oracle = await opensslVerifies({ leaf, intermediates, anchors, now }, ...authLevel)
      assert.equal(oracle, differs === undefined ? expected === 'ok' : expected !== 'ok', differs)
    })
  }
})

interface Given {
  readonly leaf: Certificate
  readonly intermediates: readonly Certificate[]
  readonly anchors: readonly Certificate[]
  readonly now?: number | 'ignoreValidity'
}

function outcome(given: Given, options: Partial<Parameters<typeof validatePath>[0]> = {}): string {
  const result = validatePath({ now: NOW, ...given, ...options })
  return result.ok ? 'ok' : result.failure.code
}

function split(certificates: readonly Certificate[]) {
  const leaf = certificates[0]
  const anchor = certificates[certificates.length - 1]
  assert.ok(leaf !== undefined && anchor !== undefined)
  return { leaf, intermediates: certificates.slice(1, -1), anchors: [anchor] }
}

function certificatesOf(...made: readonly Made[]): readonly Certificate[] {
  return made.map(({ certificate }) => certificate)
}

describe('a search for a path', () => {
  test('finds the way through cross-certificates and authorities of the same name', async () => {
    const root = await authority('root')
    const otherRoot = await authority('other root')
    const right = await authority('issuing', root)
    const wrongKey = await authority('issuing', root)
    const crossed = await authority('issuing', otherRoot, { key: right.keys })
    const leaf = await endEntity('leaf', right)
    const pool = certificatesOf(wrongKey, crossed, right, otherRoot)
    const result = validatePath({ leaf: leaf.certificate, intermediates: pool, anchors: [root.certificate], now: NOW })
    assert.ok(result.ok)
    assert.deepEqual(result.path, certificatesOf(leaf, right, root))
  })

  test('takes another path when the first one fails', async () => {
    const root = await authority('root')
    const expired = await authority('issuing', root, { notAfter: NOW - 1000 })
    const renewed = await authority('issuing', root, { key: expired.keys })
    const leaf = await endEntity('leaf', expired)
    const given = { leaf: leaf.certificate, anchors: [root.certificate] }
    assert.equal(outcome({ ...given, intermediates: certificatesOf(expired, renewed) }), 'ok')
    assert.equal(outcome({ ...given, intermediates: certificatesOf(expired) }), 'path.expired')
  })

  test('ends in a loop of authorities that certified each other', async () => {
    const a = await authority('a')
    const b = await authority('b', a)
    const aByB = await authority('a', b, { key: a.keys })
    const leaf = await endEntity('leaf', b)
    const stranger = await authority('stranger')
    const pool = { intermediates: certificatesOf(a, aByB, b), anchors: [stranger.certificate] }
    assert.equal(outcome({ leaf: leaf.certificate, ...pool }), 'path.no_issuer')
  })

  test('gives up on more certificates of one name than any chain has', async () => {
    const impostors = await Promise.all(Array.from({ length: 70 }, () => authority('issuing')))
    const issuing = await authority('issuing')
    const leaf = await endEntity('leaf', issuing)
    const pool = { intermediates: certificatesOf(...impostors), anchors: [issuing.certificate] }
    // The anchor is tried first, so that strangers cannot hide it.
    assert.equal(outcome({ leaf: leaf.certificate, ...pool }), 'ok')
    const stranger = await authority('stranger')
    assert.equal(outcome({ leaf: leaf.certificate, ...pool, anchors: [stranger.certificate] }), 'path.too_complex')
  })

  test('gives up on a path that is longer than any genuine one', async () => {
    const chain = [await authority('a0')]
    for (let level = 1; level < 8; level++) chain.unshift(await authority(`a${level}`, chain[0]))
    const [lowest] = chain
    assert.ok(lowest !== undefined)
    const leaf = await endEntity('leaf', lowest)
    assert.equal(outcome(split(certificatesOf(leaf, ...chain))), 'path.too_complex')
    assert.equal(outcome(split(certificatesOf(lowest, ...chain.slice(1)))), 'ok')
  })

  test('takes no certificate for an anchor only because it is self-signed', async () => {
    const root = await authority('root')
    const leaf = await endEntity('leaf', root)
    const other = await authority('other')
    const pool = { intermediates: [root.certificate], anchors: [other.certificate] }
    assert.equal(outcome({ leaf: leaf.certificate, ...pool }), 'path.no_issuer')
    assert.equal(outcome({ leaf: root.certificate, ...pool }), 'path.no_issuer')
  })

  test('does not take a leaf for a path because it is among the anchors', async () => {
    const root = await authority('root')
    const alone = { leaf: root.certificate, intermediates: [], anchors: [root.certificate] }
    assert.equal(outcome(alone), 'path.no_issuer')
  })

  test('names the certificate at fault, and what was expected', async () => {
    const root = await authority('root')
    const middle = await authority('middle', root, { notAfter: NOW - 1000 })
    const leaf = await endEntity('leaf', middle)
    const result = validatePath({ ...split(certificatesOf(leaf, middle, root)), now: NOW })
    assert.deepEqual(result, {
      ok: false,
      failure: {
        code: 'path.expired',
        certificate: 'CN=middle',
        expected: '2030-01-14T23:59:59.000Z',
        actual: '2030-01-15T00:00:00.000Z',
      },
    })
  })
})

describe('options of a path', () => {
  test('ignoreValidity judges everything but dates', async () => {
    const root = await authority('root', undefined, { notAfter: NOW - 1000 })
    const leaf = await endEntity('leaf', root, { notBefore: NOW + 1000 })
    const given = split(certificatesOf(leaf, root))
    assert.equal(outcome({ ...given, now: 'ignoreValidity' }), 'ok')
    const other = await authority('root')
    assert.equal(outcome({ ...given, anchors: [other.certificate], now: 'ignoreValidity' }), 'path.signature')
  })

  test('a purpose must be named by the leaf itself', async () => {
    const root = await authority('root')
    const purposes = (...oids: string[]) => ({ extensions: [new ExtendedKeyUsageExtension(oids)] })
    const cases = [
      { leaf: await endEntity('leaf', root, purposes(OID.clientAuth, OID.serverAuth)), expected: 'ok' },
      { leaf: await endEntity('leaf', root, purposes(OID.clientAuth)), expected: 'path.extended_key_usage' },
      { leaf: await endEntity('leaf', root, purposes(OID.anyExtendedKeyUsage)), expected: 'path.extended_key_usage' },
      { leaf: await endEntity('leaf', root), expected: 'path.extended_key_usage' },
    ]
    for (const { leaf, expected } of cases) {
      const options = { extendedKeyUsage: OID.serverAuth }
      assert.equal(outcome(split(certificatesOf(leaf, root)), options), expected)
    }
  })

  test('a nested purpose must be allowed by every issuer that limits purposes', async () => {
    const purpose = (oid: string) => ({ extensions: [new ExtendedKeyUsageExtension([oid])] })
    const root = await authority('root')
    const limited = await authority('limited', root, purpose(OID.clientAuth))
    const leaf = await endEntity('leaf', limited, purpose(OID.serverAuth))
    const given = split(certificatesOf(leaf, limited, root))
    const options = { extendedKeyUsage: OID.serverAuth }
    assert.equal(outcome(given, options), 'ok')
    assert.equal(outcome(given, { ...options, nestedExtendedKeyUsage: true }), 'path.extended_key_usage')
    const any = await authority('limited', root, purpose(OID.anyExtendedKeyUsage))
    const other = await endEntity('leaf', any, purpose(OID.serverAuth))
    const nested = { ...options, nestedExtendedKeyUsage: true }
    assert.equal(outcome(split(certificatesOf(other, any, root)), nested), 'ok')
  })

  test("a key usage must be the leaf's own", async () => {
    const root = await authority('root')
    const leaf = await endEntity('leaf', root, { usage: KeyUsageFlags.keyAgreement })
    const given = split(certificatesOf(leaf, root))
    assert.equal(outcome(given, { keyUsage: 'keyAgreement' }), 'ok')
    assert.equal(outcome(given, { keyUsage: 'digitalSignature' }), 'path.key_usage')
  })

  test('SHA-1 signatures are refused unless they are allowed', async () => {
    const root = await authority('root')
    const leaf = await endEntity('leaf', root, { hash: 'SHA-1' })
    const given = split(certificatesOf(leaf, root))
    assert.equal(outcome(given), 'path.algorithm')
    assert.equal(outcome(given, { allowSha1: true }), 'ok')
  })

  test('MD5 signatures are always refused', async () => {
    await inTemporaryDirectory(async (directory) => {
      const key = `${directory}/key`
      const text = await openssl([
        ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-md5', '-subj', '/CN=root'],
      ])
      const [root] = parsePem(text)
      assert.ok(root !== undefined)
      const twin = parseCertificate(Buffer.from(root.der))
      const given = { leaf: twin, intermediates: [], anchors: [await signedOver(root)], now: 'ignoreValidity' } as const
      assert.equal(outcome(given, { allowSha1: true }), 'path.algorithm')
    })
  })
})

/** Another certificate of the same name, so that it is looked at as an issuer. */
async function signedOver({ subject }: Certificate): Promise<Certificate> {
  const [attribute] = subject.attributes
  return (await authority(attribute?.value ?? '')).certificate
}

describe('a hostile certificate', () => {
  test('is refused when any byte of what was signed, or of the signature, is changed', async () => {
    const root = await authority('root')
    const leaf = await endEntity('leaf', root)
    for (let at = 0; at < leaf.certificate.der.byteLength; at++) {
      const changed = Buffer.from(leaf.certificate.der)
      changed.writeUInt8(changed.readUInt8(at) ^ 0x01, at)
      assert.notEqual(outcomeOrCode(changed, root), 'ok', `byte ${at}`)
    }
  })

  test('that is malformed in an extension fails its path and ends nothing else', async () => {
    const root = await authority('root')
    const broken = extension(OID.extendedKeyUsage, '3003020101')
    const leaf = await endEntity('leaf', root, { extensions: [broken] })
    const result = validatePath({ ...split(certificatesOf(leaf, root)), now: NOW })
    assert.deepEqual(result.ok ? undefined : [result.failure.code, result.failure.certificate], [
      'path.malformed',
      'CN=leaf',
    ])
  })

  test('cannot write to a terminal through its name', async () => {
    const root = await authority('root')
    const leaf = await make({ name: 'CN=\u001b[2Jleaf', issuer: root, notAfter: NOW - 1000 })
    const result = validatePath({ ...split(certificatesOf(leaf, root)), now: NOW })
    assert.equal(result.ok ? undefined : result.failure.certificate, 'CN=?[2Jleaf')
  })
})

function outcomeOrCode(der: Buffer, root: Made): string {
  try {
    return outcome({ leaf: parseCertificate(der), intermediates: [], anchors: [root.certificate] })
  } catch (error) {
    assert.ok(isTouchstoneError(error), String(error))
    return error.code
  }
}
