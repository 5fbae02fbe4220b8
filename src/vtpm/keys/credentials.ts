import { makeCertificationRequest } from '../../ca/index.ts'
import { isTouchstoneError, TouchstoneError } from '../../core/index.ts'
import { type AppKeyRequest, encodeIssueRequest, keyQualifyingData } from '../../wire/index.ts'
import { audited } from './audited.ts'
import type { TenantKeys } from './deps.ts'
import { derOf } from './ecdsa-der.ts'
import type { Certification } from './key-hardware.ts'
import { keyFor, keyOf } from './lookup.ts'
import type { KeyRecord, VersionRecord } from './records.ts'
import { currentOf, kidOf, versionOf } from './views.ts'

/**
 * That this key is in the TPM of this node and cannot leave it, said by the node's AK over the caller's nonce. Rejects
 * with `key.no_attestation`.
 */
export async function attestKey(keys: TenantKeys, name: string, nonce: Buffer, version: number | undefined) {
  const record = keyOf(keys, name)
  if (record.kind === 'secret') throw new TouchstoneError('key.use', 'a secret is no key that could be attested')
  return await audited(
    keys,
    'attest',
    name,
    async () => {
      const found = versionOf(record, version)
      const certification = await certify(keys, name, found, nonce)
      return { version: found.version, kid: kidOf(found), key: found, certification }
    },
    nonce,
  )
}

function certify(keys: TenantKeys, name: string, key: VersionRecord, nonce: Buffer): Promise<Certification> {
  const label = { name, version: key.version }
  return keys.hardware.certify(label, key, keyQualifyingData({ tenant: keys.tenant, ...label, nonce }))
}

/**
 * A certificate for the newest version, obtained through the evidence of this node and kept with the key. Rejects with
 * `key.no_certificate`, or with what the verifier refused.
 */
export async function certifyKey(keys: TenantKeys, name: string): Promise<VersionRecord> {
  const record = keyFor(keys, name, 'sign')
  if (record.kind === 'hmac-sha256') throw new TouchstoneError('key.use', 'an HMAC key has no public key to certify')
  const { obtain } = keys
  return await audited(keys, 'certificate', name, async () => {
    if (obtain === undefined) throw new TouchstoneError('key.no_certificate', 'this broker has no agent to ask')
    const asked = await certificateRequest(keys, record, currentOf(record))
    const { certificate, chain } = await obtain('appKey', encodeIssueRequest('appKey', asked))
    return await keep(keys, name, currentOf(record).version, [certificate, ...chain])
  })
}

async function certificateRequest(keys: TenantKeys, record: KeyRecord, key: VersionRecord): Promise<AppKeyRequest> {
  const { tenant, hardware } = keys
  const { name } = record
  const label = { name, version: key.version }
  const request = await makeCertificationRequest(key.blob.public, `${tenant}/${name}`, async (digest) => {
    const signature = await hardware.sign(label, key, digest)
    return key.publicArea.type === 'rsa' ? signature : derOf(signature)
  })
  const certified = await certify(keys, name, key, Buffer.from(kidOf(key), 'ascii')).catch(ignoreMissing)
  return {
    tenant,
    key: name,
    request,
    ...(certified === undefined
      ? {}
      : { certified: { publicArea: key.blob.public, attest: certified.attest, signature: certified.signature } }),
  }
}

/** Without its AK the node gets no certificate either, and the agent says why better than this room could. */
function ignoreMissing(error: unknown): undefined {
  if (isTouchstoneError(error, 'key.no_attestation')) return undefined
  throw error
}

/** The key may have been changed while the certificate was on its way. */
function keep(keys: TenantKeys, name: string, version: number, certificate: readonly string[]): Promise<VersionRecord> {
  return keys.changes.run(async () => {
    const record = keyOf(keys, name)
    const certified = { ...versionOf(record, version), certificate }
    const versions = record.versions.map((one) => (one.version === version ? certified : one))
    await keys.store.put({ ...record, versions })
    return certified
  })
}
