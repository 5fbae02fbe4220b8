import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { decode } from '../../src/codec/index.ts'
import { TPM2B_PUBLIC, TPMT_SIGNATURE, verifySignature, verifySignatureByKey } from '../../src/tpm/index.ts'
import type { TpmtPublic, TpmtSignature } from '../../src/tpm/index.ts'
import { sharedData, SKIP_WITHOUT_SHARED_DATA } from '../fixtures/shared-data.ts'
import { freshTpm } from '../fixtures/swtpm.ts'
import type { TestTpm } from '../fixtures/swtpm.ts'
import { makeSigningKey, SIGNING_KEYS } from '../fixtures/tpm/real-structures.ts'
import type { SigningKey } from '../fixtures/tpm/real-structures.ts'

interface Signed {
  readonly pub: TpmtPublic
  readonly message: Buffer
  readonly signature: TpmtSignature
}

const SOUND = ['ecdsa256', 'ecdsa384', 'rsassa', 'rsapss'] as const satisfies readonly SigningKey[]

/** The failure's code, or `ok`. */
function outcome({ pub, message, signature }: Signed): string {
  const result = verifySignature(pub, message, signature)
  return result.ok ? 'ok' : result.code
}

const flipped = (bytes: Buffer, at: number) => {
  const changed = Buffer.from(bytes)
  changed.writeUInt8(changed.readUInt8(at) ^ 1, at)
  return changed
}

describe('signatures made by a TPM', () => {
  const quotes = new Map<string, Signed>()
  const signatures = new Map<string, Signed>()
  let tpm: TestTpm
  before(async () => {
    tpm = await freshTpm()
    await tpm.write('message', Buffer.from('a message'))
    for (const name of Object.keys(SIGNING_KEYS) as SigningKey[]) {
      const pub = decode('pub', TPM2B_PUBLIC, await makeSigningKey(tpm, name))
      // The tools do not look up scheme and hash of the key.
      const { scheme, hash } = SIGNING_KEYS[name]
      const how = ['-c', `${name}.ctx`, '-g', hash]
      await tpm.run('tpm2_quote', ...how, '--scheme', scheme, '-l', 'sha256:0', '-m', 'q.msg', '-s', 'q.sig')
      quotes.set(name, {
        pub,
        message: await tpm.read('q.msg'),
        signature: decode('sig', TPMT_SIGNATURE, await tpm.read('q.sig')),
      })
      const free = decode('pub', TPM2B_PUBLIC, await makeSigningKey(tpm, name, false))
      await tpm.run('tpm2_sign', ...how, '-s', scheme, '-o', 's.sig', 'message')
      signatures.set(name, {
        pub: free,
        message: await tpm.read('message'),
        signature: decode('sig', TPMT_SIGNATURE, await tpm.read('s.sig')),
      })
    }
  })
  after(() => tpm.close())

  const quoteBy = (name: SigningKey): Signed => quotes.get(name) ?? assert.fail(name)

  for (const name of SOUND) {
    test(`verifies what tpm2_quote and tpm2_sign made with ${name}`, () => {
      assert.equal(outcome(quoteBy(name)), 'ok')
      assert.equal(outcome(signatures.get(name) ?? assert.fail(name)), 'ok')
    })

    test(`refuses a ${name} quote with one bit of the message changed`, () => {
      const quote = quoteBy(name)
      for (let at = 0; at < quote.message.byteLength; at++) {
        assert.equal(outcome({ ...quote, message: flipped(quote.message, at) }), 'tpm.signature_invalid')
      }
    })

    test(`refuses a ${name} quote with one bit of the signature's numbers changed`, () => {
      const quote = quoteBy(name)
      const { signature } = quote
      const changes =
        signature.sigAlg === 'ecdsa'
          ? [{ signatureR: flipped(signature.signatureR, 3) }, { signatureS: flipped(signature.signatureS, 3) }]
          : signature.sigAlg === 'rsassa' || signature.sigAlg === 'rsapss'
            ? [{ sig: flipped(signature.sig, 3) }, { sig: signature.sig.subarray(1) }]
            : assert.fail(signature.sigAlg)
      for (const change of changes) {
        assert.equal(outcome({ ...quote, signature: Object.assign({}, signature, change) }), 'tpm.signature_invalid')
      }
    })

    test(`refuses a ${name} quote under the label of another hash`, () => {
      const quote = quoteBy(name)
      const signature = Object.assign({}, quote.signature, { hash: 'sha512' })
      assert.equal(outcome({ ...quote, signature }), 'tpm.signature_hash')
    })
  }

  test('refuses SHA-1 even where it is the scheme of the key', () => {
    assert.equal(outcome(quoteBy('sha1')), 'tpm.signature_hash')
  })

  test('refuses RSAPSS by an RSASSA key, and the other way round', () => {
    const [rsassa, rsapss] = [quoteBy('rsassa'), quoteBy('rsapss')]
    assert.equal(outcome({ ...rsassa, signature: rsapss.signature }), 'tpm.signature_scheme')
    assert.equal(outcome({ ...rsapss, signature: rsassa.signature }), 'tpm.signature_scheme')
  })

  test('refuses schemes that are never verified: HMAC, ECDAA, none', () => {
    const quote = quoteBy('ecdsa256')
    const hmac: TpmtSignature = { sigAlg: 'hmac', hashAlg: 'sha256', digest: Buffer.alloc(32) }
    const ecdaa = Object.assign({}, quote.signature, { sigAlg: 'ecdaa' as const })
    for (const signature of [hmac, ecdaa, { sigAlg: 'null' } as const]) {
      assert.equal(outcome({ ...quote, signature }), 'tpm.signature_scheme')
    }
  })

  test('says what the key wanted and what came', () => {
    const result = verifySignature(quoteBy('rsassa').pub, Buffer.alloc(0), quoteBy('rsapss').signature)
    assert.ok(!result.ok)
    assert.deepEqual([result.expected, result.actual], ['rsassa', 'rsapss'])
  })

  test('refuses the quote of another key of the same kind', () => {
    const { unique } = quoteBy('sha1').pub
    const other = Object.assign({}, quoteBy('ecdsa256').pub, { unique })
    assert.equal(outcome({ ...quoteBy('ecdsa256'), pub: other }), 'tpm.signature_invalid')
  })

  test('refuses numbers that are wider than the field', () => {
    const quote = quoteBy('ecdsa256')
    assert.equal(quote.signature.sigAlg, 'ecdsa')
    const wide = Buffer.concat([Buffer.alloc(1), quote.signature.signatureR])
    const signature = { ...quote.signature, signatureR: wide }
    assert.equal(outcome({ ...quote, signature }), 'tpm.signature_invalid')
  })
})

describe('signatures by a key without a scheme of its own', () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const message = Buffer.from('a message')
  const signed = (hash: 'sha1' | 'sha256'): TpmtSignature => ({
    sigAlg: 'rsassa',
    hash,
    sig: sign(hash, message, privateKey),
  })

  test('any sound hash will do', () => {
    assert.deepEqual(verifySignatureByKey(publicKey, message, signed('sha256')), { ok: true })
  })

  test('SHA-1 will not', () => {
    const result = verifySignatureByKey(publicKey, message, signed('sha1'))
    assert.ok(!result.ok)
    assert.equal(result.code, 'tpm.signature_hash')
  })

  test('nor will a scheme of another type of key', () => {
    const number = Buffer.alloc(32, 1)
    const ecdsa = { sigAlg: 'ecdsa', hash: 'sha256', signatureR: number, signatureS: number } as const
    const result = verifySignatureByKey(publicKey, message, ecdsa)
    assert.ok(!result.ok)
    assert.equal(result.code, 'tpm.signature_scheme')
  })

  for (const [what, key] of [
    ['cannot sign', generateKeyPairSync('x25519').publicKey],
    ['is too short', generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey],
    ['is on another curve', generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey],
  ] as const) {
    test(`nor any at all by a key that ${what}`, () => {
      const result = verifySignatureByKey(key, message, signed('sha256'))
      assert.ok(!result.ok)
      assert.equal(result.code, 'tpm.signature_scheme')
    })
  }
})

test('takes ECDSA numbers whose leading zeros were left out', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const message = Buffer.from('a message')
  // One signature in 128 has such a number.
  for (;;) {
    const pair = sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })
    const [signatureR, signatureS] = [pair.subarray(0, 32), pair.subarray(32)].map(withoutLeadingZeros)
    assert.ok(signatureR !== undefined && signatureS !== undefined)
    if (signatureR.byteLength + signatureS.byteLength === 64) continue
    const signature = { sigAlg: 'ecdsa', hash: 'sha256', signatureR, signatureS } as const
    assert.deepEqual(verifySignatureByKey(publicKey, message, signature), { ok: true })
    return
  }
})

for (const [namedCurve, hash, size] of [
  ['P-256', 'sha256', 32],
  ['P-384', 'sha384', 48],
  ['P-521', 'sha512', 66],
] as const) {
  test(`verifies whatever numbers an ${namedCurve} key signs with, and refuses zero`, () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve })
    const zero = Buffer.alloc(size)
    for (let run = 0; run < 64; run += 1) {
      const message = Buffer.from(`message ${run}`)
      const pair = sign(hash, message, { key: privateKey, dsaEncoding: 'ieee-p1363' })
      const good = {
        sigAlg: 'ecdsa',
        hash,
        signatureR: pair.subarray(0, size),
        signatureS: pair.subarray(size),
      } as const
      assert.deepEqual(verifySignatureByKey(publicKey, message, good), { ok: true })
      for (const bad of [
        { ...good, signatureR: zero },
        { ...good, signatureS: zero },
        { ...good, signatureS: Buffer.alloc(0) },
        { ...good, signatureR: good.signatureS, signatureS: good.signatureR },
      ]) {
        assert.equal(verifySignatureByKey(publicKey, message, bad).ok, false)
      }
    }
  })
}

function withoutLeadingZeros(bytes: Buffer): Buffer {
  return bytes.subarray(bytes.findIndex((byte) => byte !== 0))
}

test('verifies the quotes of real boots, by public area and by PEM', { skip: SKIP_WITHOUT_SHARED_DATA }, async () => {
  for (const boot of ['secure-boot', 'direct-kernel']) {
    const file = (name: string) => readFile(sharedData(`qemu-ovmf/${boot}/${name}`))
    const signature = decode('sig', TPMT_SIGNATURE, await file('quote.sig'))
    const message = await file('quote.msg')
    assert.equal(outcome({ pub: decode('ak', TPM2B_PUBLIC, await file('ak.pub')), message, signature }), 'ok')
    assert.ok(verifySignatureByKey(createPublicKey(await file('ak.pem')), message, signature).ok)
  }
})
