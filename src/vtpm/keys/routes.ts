import {
  agreeRequest,
  agreeResult,
  attestRequest,
  attestResult,
  certificateResult,
  decryptRequest,
  decryptResult,
  defineRoute,
  emptyRequest,
  health,
  jwks,
  KEY_LIMITS,
  keyCreation,
  keyDeletion,
  keyDeletionResult,
  keyDetail,
  keyList,
  keyPath,
  randomRequest,
  randomResult,
  type Route,
  sealRequest,
  signRequest,
  signResult,
  tokenRequest,
  tokenResult,
  unsealRequest,
  unsealResult,
  verifyRequest,
  verifyResult,
} from '../../wire/index.ts'
import { TPMT_PUBLIC } from '../../tpm/index.ts'
import { encode } from '../../codec/index.ts'
import { agreeWith } from './agreement.ts'
import { attestKey, certifyKey } from './credentials.ts'
import { decryptWith } from './decryption.ts'
import type { TenantKeys } from './deps.ts'
import { createKey, deleteKey, rotateKey, sealSecret } from './lifecycle.ts'
import { keyOf } from './lookup.ts'
import { secretBytesOf, unsealSecret } from './secrets.ts'
import { sign, signToken, verify } from './signing.ts'
import { detailOf, jwkOf, kidOf, summaryOf } from './views.ts'

/** Everybody on a tenant's socket is the tenant. `slow` is counted more tightly: what keeps the TPM or the node busy. */
export type KeyAccess = 'tenant' | 'slow'

/** JSON around bytes in base64url. */
const bodyOf = (bytes: number) => Math.ceil((bytes * 4) / 3) + 1024

/** What may become of any operation in the TPM. */
const TPM = ['key.elsewhere', 'device.tpm', 'device.unavailable', 'device.timeout'] as const
const ONE = ['key.not_found', 'key.damaged', 'key.misplaced'] as const

export function keyRoutes(keys: TenantKeys): readonly Route<KeyAccess>[] {
  return [...publicRoutes(keys), ...lifecycleRoutes(keys), ...signingRoutes(keys), ...secretRoutes(keys)]
}

function publicRoutes(keys: TenantKeys): readonly Route<KeyAccess>[] {
  const { store, quota } = keys
  const records = () => [...store.keys.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  return [
    defineRoute({
      method: 'GET',
      path: '/healthz',
      operation: 'health',
      summary: 'Whether the key service answers.',
      access: 'tenant',
      answer: health,
      handle: () => ({ status: 'ok' as const }),
    }),
    defineRoute({
      method: 'GET',
      path: '/.well-known/jwks.json',
      operation: 'getJwks',
      summary: 'Public keys of all versions (RFC 7517), for whoever verifies what this tenant signs.',
      access: 'tenant',
      answer: jwks,
      handle: () => ({
        keys: records().flatMap((record) =>
          record.versions.map((version) => jwkOf(record, version)).filter((jwk) => jwk !== undefined),
        ),
      }),
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/keys',
      operation: 'listKeys',
      summary: "This tenant's keys by name, and its quota.",
      access: 'tenant',
      answer: keyList,
      handle: () => ({
        items: [
          ...records().map(summaryOf),
          ...[...store.damaged].map(([name, code]) => ({ state: 'damaged' as const, name, code })),
        ],
        quota: {
          keys: store.keys.size + store.damaged.size,
          maxKeys: quota.keys,
          secretBytes: secretBytesOf(keys),
          maxSecretBytes: quota.secretBytes,
        },
      }),
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/random',
      operation: 'random',
      summary: "Random bytes of the TPM's generator.",
      access: 'tenant',
      body: randomRequest,
      answer: randomResult,
      codes: TPM,
      handle: async ({ body }) => ({ bytes: await keys.hardware.random(body.size) }),
    }),
  ]
}

function lifecycleRoutes(keys: TenantKeys): readonly Route<KeyAccess>[] {
  return [
    defineRoute({
      method: 'PUT',
      path: '/v1/keys/:name',
      operation: 'createKey',
      summary: 'Make a key. The same again answers the key that there is.',
      access: 'slow',
      params: keyPath,
      body: keyCreation,
      answer: keyDetail,
      codes: ['key.exists', 'key.kind', 'key.use', 'key.quota', 'key.storage', 'key.damaged', 'key.misplaced', ...TPM],
      handle: async ({ params, body }) => detailOf(await createKey(keys, params.name, body)),
    }),
    defineRoute({
      method: 'GET',
      path: '/v1/keys/:name',
      operation: 'getKey',
      summary: 'A key with its versions, public keys and certificates.',
      access: 'tenant',
      params: keyPath,
      answer: keyDetail,
      codes: ONE,
      handle: ({ params }) => detailOf(keyOf(keys, params.name)),
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/keys/:name/rotate',
      operation: 'rotateKey',
      summary:
        'Make a new version, which signs from then on. Older ones verify, decrypt and unseal until they are deleted.',
      access: 'slow',
      params: keyPath,
      body: emptyRequest,
      answer: keyDetail,
      codes: [...ONE, 'key.quota', 'key.storage', ...TPM],
      handle: async ({ params }) => detailOf(await rotateKey(keys, params.name)),
    }),
    defineRoute({
      method: 'DELETE',
      path: '/v1/keys/:name',
      operation: 'deleteKey',
      summary: 'Delete one version, or the key with all of them. What it sealed or decrypts is lost with it.',
      access: 'tenant',
      params: keyPath,
      query: keyDeletion,
      answer: keyDeletionResult,
      codes: ['key.not_found', 'key.version', 'key.storage'],
      handle: async ({ params, query }) => ({ left: await deleteKey(keys, params.name, query.version) }),
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/keys/:name/certificate',
      operation: 'certifyKey',
      summary:
        'Obtain a certificate for the newest version, through the evidence of this node, and keep it with the key.',
      access: 'slow',
      params: keyPath,
      body: emptyRequest,
      answer: certificateResult,
      codes: [...ONE, 'key.use', 'key.no_certificate', 'key.storage', ...TPM],
      handle: async ({ params }) => {
        const { version, certificate = [], ...key } = await certifyKey(keys, params.name)
        return { version, kid: kidOf(key), certificate: [...certificate] }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/keys/:name/attest',
      operation: 'attestKey',
      summary: "Have this node's attestation key say over a nonce that the key is in its TPM and cannot leave it.",
      // The AK works before everybody else in the lane, so an app must not be able to keep it busy.
      access: 'slow',
      params: keyPath,
      body: attestRequest,
      answer: attestResult,
      codes: [...ONE, 'key.version', 'key.use', 'key.no_attestation', ...TPM],
      handle: async ({ params, body }) => {
        const { version, kid, key, certification } = await attestKey(keys, params.name, body.nonce, body.version)
        const { nodeId, akCertificate } = certification
        return {
          version,
          kid,
          tenant: keys.tenant,
          statement: certification.attest,
          signature: certification.signature,
          publicArea: encode(TPMT_PUBLIC, key.publicArea),
          akPublic: certification.akPublic,
          ...(nodeId === undefined ? {} : { nodeId }),
          ...(akCertificate.length === 0 ? {} : { akCertificate: [...akCertificate] }),
        }
      },
    }),
  ]
}

function signingRoutes(keys: TenantKeys): readonly Route<KeyAccess>[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/keys/:name/sign',
      operation: 'sign',
      summary: 'Sign a message or a digest with the newest version, by the algorithm of the key.',
      access: 'tenant',
      params: keyPath,
      body: signRequest,
      bodyLimit: bodyOf(KEY_LIMITS.message),
      answer: signResult,
      codes: [...ONE, 'key.use', 'key.digest', ...TPM],
      handle: ({ params, body }) => sign(keys, params.name, body),
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/keys/:name/verify',
      operation: 'verify',
      summary: 'Whether any version of the key made a signature.',
      access: 'tenant',
      params: keyPath,
      body: verifyRequest,
      bodyLimit: bodyOf(KEY_LIMITS.message),
      answer: verifyResult,
      codes: [...ONE, 'key.use', 'key.digest', ...TPM],
      handle: ({ params, body }) => verify(keys, params.name, body),
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/keys/:name/token',
      operation: 'signToken',
      summary: 'Sign claims or a payload as a compact JWS; with claims it is a JWT.',
      access: 'tenant',
      params: keyPath,
      body: tokenRequest,
      bodyLimit: bodyOf(2 * KEY_LIMITS.payload),
      answer: tokenResult,
      codes: [...ONE, 'key.use', 'key.header', 'key.uncertified', 'decode.too_large', ...TPM],
      handle: ({ params, body }) => signToken(keys, params.name, body),
    }),
  ]
}

function secretRoutes(keys: TenantKeys): readonly Route<KeyAccess>[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/keys/:name/decrypt',
      operation: 'decrypt',
      summary: 'Decrypt RSA-OAEP-256.',
      access: 'tenant',
      params: keyPath,
      body: decryptRequest,
      answer: decryptResult,
      codes: [...ONE, 'key.version', 'key.use', 'key.ciphertext', ...TPM],
      handle: ({ params, body }) => decryptWith(keys, params.name, body.ciphertext, body.version),
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/keys/:name/agree',
      operation: 'agree',
      summary: "Agree on a secret with the holder of another key (ECDH), derived by HKDF or as the curve's coordinate.",
      access: 'tenant',
      params: keyPath,
      body: agreeRequest,
      bodyLimit: bodyOf(2 * KEY_LIMITS.derivation),
      answer: agreeResult,
      codes: [...ONE, 'key.version', 'key.use', 'key.peer', ...TPM],
      handle: ({ params, body }) => agreeWith(keys, params.name, body),
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/keys/:name/seal',
      operation: 'seal',
      summary: 'Keep bytes as the newest version of a secret, making the secret where there is none.',
      access: 'slow',
      params: keyPath,
      body: sealRequest,
      bodyLimit: bodyOf(KEY_LIMITS.secret),
      answer: keyDetail,
      codes: ['key.use', 'key.quota', 'key.storage', 'key.damaged', 'key.misplaced', ...TPM],
      handle: async ({ params, body }) => {
        try {
          return detailOf(await sealSecret(keys, params.name, body.secret, body.pcrs))
        } finally {
          body.secret.fill(0)
        }
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/keys/:name/unseal',
      operation: 'unseal',
      summary: 'A secret, if the registers that it is bound to are what they were.',
      access: 'tenant',
      params: keyPath,
      body: unsealRequest,
      answer: unsealResult,
      codes: [...ONE, 'key.version', 'key.use', 'key.registers', ...TPM],
      handle: ({ params, body }) => unsealSecret(keys, params.name, body.version),
    }),
  ]
}
