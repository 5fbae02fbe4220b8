import { decode } from '../codec/index.ts'
import { equalBytes, TouchstoneError } from '../core/index.ts'
import type { NodeId } from '../core/index.ts'
import {
  nameOf,
  qualifiedNameUnderEndorsement,
  spkiOf,
  TPM2B_PUBLIC,
  TPM_GENERATED_VALUE,
  TPMS_ATTEST,
  TPMT_SIGNATURE,
  verifySignature,
} from '../tpm/index.ts'
import type { TpmtPublic } from '../tpm/index.ts'
import type { Lifetimes } from './issue-device.ts'
import type { Door } from './issue.ts'
import type { Certificate } from './path/index.ts'
import { makeAppKeyCertificate } from './profile/app-keys.ts'
import type { Issuer } from './profile/write-certificate.ts'
import { parseRequest } from './request.ts'

/** That the node's TPM holds the key, said by its AK. */
export interface KeyCertification {
  /** TPM2B_PUBLIC of the key. */
  readonly publicArea: Uint8Array
  /** TPMS_ATTEST of type CERTIFY or CREATION, and TPMT_SIGNATURE. */
  readonly attest: Uint8Array
  readonly signature: Uint8Array
}

/** What the request says. */
export interface AppKeyAsk {
  readonly tenant: string
  readonly key: string
  /** PKCS#10, DER. */
  readonly request: Uint8Array
  readonly certified?: KeyCertification | undefined
}

export interface AppKeyDoor extends Lifetimes {
  readonly issuer: Issuer
  /** 16 bytes from a CSPRNG. */
  readonly random: Uint8Array
  /** Reads the very bytes that the quote covers. */
  readonly read: (request: Uint8Array) => AppKeyAsk
  /** The enrolled EK and AK of the node. */
  readonly keysOf: () => { readonly ek: TpmtPublic; readonly ak: TpmtPublic }
  /** Throws `issue.too_many` where the node holds enough. Records the certificate, before anybody is given it. */
  readonly record: (nodeId: NodeId, ask: AppKeyAsk, certificate: Certificate) => Promise<void>
}

/**
 * A certificate for an app's key. The request is signed by that key (`issue.request_signature`); where the AK certified
 * the key, the certification must hold (`issue.app_key`), and the certificate then says that the key is fixed to its TPM.
 */
export function appKeyDoor(door: AppKeyDoor): Door<Certificate> {
  return {
    kind: 'appKey',
    open: async ({ node: { nodeId }, request, now }) => {
      const ask = door.read(request)
      const { spki, signatureProblem } = parseRequest(ask.request)
      if (signatureProblem !== undefined) throw new TouchstoneError('issue.request_signature')
      if (ask.certified !== undefined) requireCertified(ask.certified, spki, door.keysOf())
      const certificate = await makeAppKeyCertificate(door.issuer, {
        serial: door.random,
        notBefore: now - door.backdate,
        notAfter: now + door.lifetime,
        nodeId,
        tenant: ask.tenant,
        key: ask.key,
        spki,
        isTpmFixed: ask.certified !== undefined,
      })
      await door.record(nodeId, ask, certificate)
      return certificate
    },
  }
}

/** TPM 2.0 Library Part 3, sections 18.2 and 18.3. */
function requireCertified(
  { publicArea, attest, signature }: KeyCertification,
  spki: Buffer,
  { ek, ak }: { readonly ek: TpmtPublic; readonly ak: TpmtPublic },
): void {
  const refuse = (problem: string): never => {
    throw new TouchstoneError('issue.app_key', problem)
  }
  const key = decode('certified.publicArea', TPM2B_PUBLIC, publicArea)
  if (!equalBytes(spkiOf(key), spki)) refuse('another key than that of the request was certified')
  const { fixedTPM, fixedParent, sensitiveDataOrigin } = key.objectAttributes
  if (!fixedTPM || !fixedParent || !sensitiveDataOrigin)
    refuse('the key is not fixed to its TPM, or was not made in it')
  const said = decode('certified.attest', TPMS_ATTEST, attest)
  if (said.magic !== TPM_GENERATED_VALUE) refuse('no TPM made the certification')
  if (!equalBytes(said.qualifiedSigner, qualifiedNameUnderEndorsement(ek, ak))) refuse("another key than the node's AK")
  const name =
    said.type === 'certify' ? said.attested.name : said.type === 'creation' ? said.attested.objectName : undefined
  if (name === undefined || !equalBytes(name, nameOf(key))) refuse('the certified Name is that of another key')
  const result = verifySignature(ak, attest, decode('certified.signature', TPMT_SIGNATURE, signature))
  if (!result.ok) refuse(`the signature does not hold: ${result.code}`)
}
