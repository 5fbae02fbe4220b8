import { z } from 'zod'
import { TouchstoneError } from '../core/index.ts'
import { bytesSchema, hexSchema } from './bytes.ts'
import { LIMITS } from './limits.ts'
import { decodeBody, encodeBody, MEDIA } from './media.ts'
import { generation, guestId, keyName, tenantName } from './placement-names.ts'
import { release } from './release.ts'

const structure = bytesSchema(LIMITS.structure)

/** What a node's broker obtains through the node's evidence, beside the certificates of the node itself. */
const OBTAINABLE = ['guestEk', 'appKey', 'release', 'fleet', 'grant'] as const

export type Obtainable = (typeof OBTAINABLE)[number]

/** The member `obtain` of an evidence's request, and the body of `POST /v1/obtain` on the agent's local socket. */
export const obtainRequest = z.strictObject({
  kind: z.enum(OBTAINABLE),
  /** What is asked for, in CBOR as {@link encodeIssueRequest} writes it: the quote covers kind and these very bytes. */
  request: bytesSchema(LIMITS.request),
})

/** A certificate for a guest's endorsement key; only for a guest that was placed on this node. */
const guestEkRequest = z.strictObject({
  guest: guestId,
  tenant: tenantName,
  generation,
  /** TPM2B_PUBLIC of the guest's EK, by a TCG template. */
  ekPublic: structure,
})

/** A certificate for an app's key that this node's TPM holds. */
const appKeyRequest = z.strictObject({
  tenant: tenantName,
  key: keyName,
  /** PKCS#10 (DER), signed by that key. */
  request: bytesSchema(LIMITS.request),
  /** That the key cannot leave the TPM, said by the node's AK: then the certificate says so too. */
  certified: z
    .strictObject({
      /** TPM2B_PUBLIC of the key. */
      publicArea: structure,
      /** TPMS_ATTEST of type CERTIFY or CREATION, and TPMT_SIGNATURE, by the AK; the extraData is not looked at. */
      attest: structure,
      signature: structure,
    })
    .optional(),
})

/** What a node says its secrets are rooted in. */
const rootsClaim = {
  /** Reference of this node in signed policies; see `releaseNodeRef`. */
  nodeRef: hexSchema(),
  /** Name of the storage root, and of the NV counter of releases. */
  storageRootName: hexSchema(34),
  counterName: hexSchema(34),
  /** Value of that counter. */
  counter: z.int().min(0),
  /** Registers that secrets are bound to, for example `sha256:0,2,4,7`; the node's quote covers them. */
  pcrs: z.string().max(128),
  /** DER SubjectPublicKeyInfo of the key to which guests on their way here are wrapped. */
  transportKey: bytesSchema(160),
}

/** TPMS_ATTEST and TPMT_SIGNATURE by the node's AK; the extraData is `rootsBinding` of the claim. */
const attestation = { attest: structure, signature: structure }

/** That those roots are in the TPM of this node, and are what they are called. */
const rootsProof = z.strictObject({
  /** TPM2B_PUBLIC of the storage root, and TPM2_Certify of it. */
  storageRoot: z.strictObject({ publicArea: structure, ...attestation }),
  /** TPM2_NV_Certify of all 8 bytes of the release counter. */
  counter: z.strictObject(attestation),
  /** TPM2B_PUBLIC and TPM2B_CREATION_DATA of the transport key, and TPM2_CertifyCreation of it. */
  transportKey: z.strictObject({ publicArea: structure, creationData: structure, ...attestation }),
})

/** The signed policies under which this node's secrets open: for the registers as they are quoted, and approved ones. */
const releaseRequest = z.strictObject({
  ...rootsClaim,
  /** Without it nothing is signed. */
  proof: rootsProof.optional(),
})

/** The fleet's keys, before a broker has anything to ask a release for: its secrets are bound to the release key. */
const fleetRequest = z.strictObject({})

/** Whether a grant that somebody shows still counts: what it allows may have been called off since. */
const grantRequest = z.strictObject({ token: z.string().max(4096) })

export const issued = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('guestEk'),
    /** PEM: the certificate, and the guest CA and root above it. */
    certificate: z.string(),
    chain: z.array(z.string()),
  }),
  z.strictObject({ kind: z.literal('appKey'), certificate: z.string(), chain: z.array(z.string()) }),
  z.strictObject({
    kind: z.literal('release'),
    /** Those that are not dead, the newest first, as signed; the broker checks each before it keeps it. */
    releases: z.array(release),
    /** DER SubjectPublicKeyInfo of the fleet's release key, and of the key that signs grants. */
    releaseKey: bytesSchema(160),
    grantKey: bytesSchema(160),
  }),
  z.strictObject({ kind: z.literal('fleet'), releaseKey: bytesSchema(160), grantKey: bytesSchema(160) }),
  /** It counts; one that does not is refused with `grant.over`. */
  z.strictObject({ kind: z.literal('grant') }),
])

/** The answer of `POST /v1/obtain` on the agent's local socket. */
export const obtainAnswer = z.strictObject({ issued })

/** `GET /v1/attestation-key` there: the enrolled AK, which the node's broker loads beside the agent. */
export const localAttestationKey = z.strictObject({
  nodeId: z.uuid(),
  /** TCG template of the EK that is the AK's parent, for example `H-3`. */
  ekKind: z.string(),
  /** Lower-case hex. */
  akName: z.string(),
  /** TPM2B_PUBLIC and TPM2B_PRIVATE: the TPM's own wrapping, which only this TPM loads. */
  akPublic: structure,
  akPrivate: structure,
  /** PEM, as the chain: issuing CA, then root. */
  akCertificate: z.string(),
  chain: z.array(z.string()),
  /** What the verifier last had quoted, for example `sha256:0,1,2+sha1:0,1`; absent before the first round. */
  pcrs: z.string().optional(),
})

const REQUESTS = {
  guestEk: guestEkRequest,
  appKey: appKeyRequest,
  release: releaseRequest,
  fleet: fleetRequest,
  grant: grantRequest,
} as const

export type ObtainRequest = z.output<typeof obtainRequest>
export type GuestEkRequest = z.output<typeof guestEkRequest>
export type AppKeyRequest = z.output<typeof appKeyRequest>
export type ReleaseRequest = z.output<typeof releaseRequest>
export type RootsClaim = Omit<ReleaseRequest, 'proof'>
export type RootsProof = z.output<typeof rootsProof>
export type LocalAttestationKey = z.output<typeof localAttestationKey>
export type Issued = z.output<typeof issued>
export type IssuedOf<K extends Obtainable> = Extract<Issued, { kind: K }>

interface RequestOf {
  readonly guestEk: GuestEkRequest
  readonly appKey: AppKeyRequest
  readonly release: ReleaseRequest
  readonly fleet: z.output<typeof fleetRequest>
  readonly grant: z.output<typeof grantRequest>
}

/** One value, one encoding. */
export function encodeIssueRequest<K extends Obtainable>(kind: K, request: RequestOf[K]): Buffer {
  return encodeBody(MEDIA.cbor, REQUESTS[kind].parse(request))
}

/** The inverse. Throws `issue.malformed` and `decode.*`. */
export function decodeIssueRequest<K extends Obtainable>(kind: K, bytes: Uint8Array): RequestOf[K]
export function decodeIssueRequest(kind: Obtainable, bytes: Uint8Array): RequestOf[Obtainable] {
  const parsed = REQUESTS[kind].safeParse(decodeBody(MEDIA.cbor, bytes))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new TouchstoneError('issue.malformed', `${kind} ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`)
}
