import type { Decoded } from '../../codec/index.ts'
import type { Release, ReleaseRequest } from '../../wire/index.ts'
import type { Command, CommandAuth, PcrSelection, TPMT_TK, TpmtPublic } from '../../tpm/index.ts'

/** Something in the TPM whose Name is a digest: an object or an NV index. Commands under a session cover the Name. */
export interface Entity {
  readonly handle: number
  readonly name: Buffer
}

/** What a command may name: a hierarchy, a PCR or a session by its handle alone, everything else with its Name. */
export type HandleArgument = number | Entity

export interface LoadedObject extends Entity {
  readonly publicArea: TpmtPublic
}

/** An object outside the TPM, useless without it. */
export interface SealedBlob {
  /** TPM2B_PUBLIC, with its size. */
  readonly public: Buffer
  /** TPM2B_PRIVATE, with its size: encrypted by the parent. */
  readonly private: Buffer
}

/** A TPM's own word, to itself, that it has made an object. */
export interface CreationProof {
  /** Over TPMS_CREATION_DATA, by the object's nameAlg. */
  readonly hash: Buffer
  readonly ticket: Decoded<typeof TPMT_TK>
}

/** An object as TPM2_Create answers it. */
export interface CreatedBlob extends SealedBlob {
  readonly creation: CreationProof & {
    /** TPM2B_CREATION_DATA. */
    readonly data: Buffer
  }
}

/** How the handles of a command that need it are authorised, in their order; further sessions may follow. */
export type Authorisations = readonly CommandAuth[]

/** Runs typed commands over a transport. One scope at a time; a scope leaves nothing behind in the TPM. */
export interface TpmClient {
  /**
   * One command, repeated while the TPM says that it could not start it. Handles that need authorisation get the empty
   * password unless told otherwise. Rejects with `device.tpm` (`details.rc`; see `responseCodeOf`), with
   * `tpm.response_unauthentic` when a session's HMAC is wrong, or as the transport does.
   */
  run<H extends string, P, R>(
    command: Command<H, P, R>,
    handles: Readonly<Record<H, HandleArgument>>,
    parameters: P,
    authorisations?: Authorisations,
  ): Promise<R>
  /**
   * Runs `work` when earlier scopes of this client have ended, and flushes all that it loaded and began, on every path.
   * Scopes do not nest: what is called inside takes the scope as its argument.
   */
  scope<T>(work: (scope: TpmScope) => Promise<T>): Promise<T>
  /** Closes the transport. */
  close(): Promise<void>
}

export interface TpmScope {
  readonly run: TpmClient['run']
  /** TPM2_StartAuthSession, salted to `saltKey` where one is given: AES-128-CFB, SHA-256. */
  startSession(type: 'hmac' | 'policy', saltKey?: LoadedObject): Promise<TpmSession>
  /** TPM2_Load. Rejects with `device.tpm`; TPM_RC_INTEGRITY says that another TPM or parent made the blob. */
  load(parent: Entity, blob: SealedBlob, authorisations?: Authorisations): Promise<LoadedObject>
  /** Flushes `handle` at the end of the scope. */
  flushLater(handle: number): void
  /** Lets `handle` outlive the scope; whoever asks for that must flush it. */
  keep(handle: number): void
}

export interface SessionUse {
  /** Of the object that it authorises. */
  readonly authValue?: Uint8Array
  /** Hides the first parameter of the command from the bus. */
  readonly decrypt?: boolean
  /** Hides the first parameter of the response from the bus. */
  readonly encrypt?: boolean
  /** The TPM ends the session with this command, which saves the flush. */
  readonly last?: boolean
}

/** A session in the TPM, for as long as its scope. */
export interface TpmSession {
  readonly handle: number
  /** For {@link Authorisations}, of the next command and no other. */
  use(options?: SessionUse): CommandAuth
  /** Flushes it before the scope ends. */
  end(): Promise<void>
}

/** A counter in the TPM's NV memory. It cannot be set back, not even by defining it anew. */
export interface HardwareCounter {
  /** Lower-case hex is what releases carry. */
  readonly name: Buffer
  /** Over a salted session: a value that was changed on the way is `tpm.response_unauthentic`. */
  read(): Promise<bigint>
  /** Adds one and answers the new value. */
  increment(): Promise<bigint>
}

/** A key for agreements that only this TPM can complete, and only after a boot that a release allows. */
export interface TransportKey {
  /** DER SubjectPublicKeyInfo, P-256. */
  readonly spki: Buffer
  /** TPM2B_PUBLIC, for whoever has it certified. */
  readonly publicArea: Buffer
  /**
   * The x coordinate of the shared point, 32 bytes, from the peer's DER SubjectPublicKeyInfo. Fill it with zeros after
   * use. Rejects with `vtpm.transport_peer` for anything that is no P-256 key.
   */
  agree(peerSpki: Uint8Array): Promise<Buffer>
  /** Runs `work` with the key loaded, for a certification; `authorisation` is for it as the first handle. */
  loaded<T>(work: (scope: TpmScope, key: LoadedObject, authorisation: CommandAuth) => Promise<T>): Promise<T>
}

/** The newest release that allows this boot. */
export interface SatisfiedRelease {
  readonly release: number
  readonly description: string | undefined
}

export interface Roots {
  readonly client: TpmClient
  /** Policy reference of this node's releases: SHA-256 over a label and the storage root's Name. */
  readonly nodeRef: Buffer
  readonly storageRoot: LoadedObject
  readonly storageRootName: Buffer
  readonly releaseCounterName: Buffer
  readonly ledgerCounter: HardwareCounter
  readonly releaseCounter: HardwareCounter
  readonly transportKey: TransportKey

  /**
   * Unseals the node secret, once; later calls are free. Everything that needs {@link derive} comes after it. Rejects as
   * {@link unseal} does.
   */
  unlock(): Promise<SatisfiedRelease>
  /**
   * HKDF-SHA256 of the node secret: one independent key for each `purpose` (and `salt`). Throws `vtpm.locked` before
   * {@link unlock}.
   */
  derive(purpose: string, size?: number, salt?: Uint8Array): Buffer

  /**
   * Seals 1 to 100 bytes under the release policy, and encrypts them under the node secret before: a blob that somebody
   * else made on this TPM, where making needs no secret, does not pass for ours. Needs {@link unlock}, no further release.
   */
  seal(secret: Uint8Array): Promise<SealedBlob>
  /**
   * The inverse. Rejects with `vtpm.locked`, `vtpm.release_missing` (none for this node), `vtpm.release_not_satisfied` (none allows this boot), or
   * `vtpm.sealed_elsewhere` (another TPM, or it was cleared). Fill the answer with zeros after use.
   */
  unseal(blob: SealedBlob): Promise<Buffer>

  /**
   * Checks a release and keeps it in `<stateDir>/releases/`. Rejects with `release.*` codes, nothing is kept then.
   */
  addRelease(untrusted: unknown): Promise<Release>
  /** Those on disk that are ours, newest first. Files that are not, are left alone and named. */
  releases(): Promise<{ readonly usable: readonly Release[]; readonly refused: readonly RefusedRelease[] }>
  /**
   * After a boot that turned out good: moves the release counter up to the release that {@link unlock} used, and answers
   * its value. Older releases are dead from then on.
   */
  commitRelease(): Promise<bigint>

  /**
   * What a release for these registers is asked for with: names of the roots, and the word of the node's AK, which is loaded
   * in `host`, that this TPM holds them. Needs no release.
   */
  releaseRequest(host: { readonly client: TpmClient; readonly ak: NodeAk }, pcrs: string): Promise<ReleaseRequest>

  /** TPM2_Create under the storage root over an encrypted session; `sensitiveDataOrigin` must be set. */
  createChild(template: TpmtPublic, authValue?: Uint8Array): Promise<SealedBlob>
  /** Loads a child of the storage root inside `scope` (`roots.client.scope`). Rejects as {@link unseal} for other TPMs. */
  loadChild(scope: TpmScope, blob: SealedBlob): Promise<LoadedObject>
  /** A storage key made by {@link createChild} with {@link storageKeyTemplate}, as the lane loads it for its tenant. */
  parentLoader(blob: SealedBlob): { load(execute: (command: Buffer) => Promise<Buffer>): Promise<number> }
  /** Forgets the node secret, and closes the transport. */
  close(): Promise<void>
}

export interface RefusedRelease {
  readonly file: string
  /** A row of the error table. */
  readonly code: string
  readonly problem: string
}

/** An attestation that a key of this TPM signed. */
export interface Attestation {
  /** TPMS_ATTEST. */
  readonly attest: Buffer
  /** TPMT_SIGNATURE. */
  readonly signature: Buffer
}

/** The node's AK, loaded for as long as the broker runs. */
export interface NodeAk {
  readonly key: LoadedObject
  /** TPM2_Quote; `qualifyingData` at most 64 bytes. */
  quote(selection: PcrSelection, qualifyingData: Uint8Array): Promise<Attestation>
  /** TPM2_Certify of a loaded object: `authorisation` is the object's, the empty password unless given. */
  certify(object: Entity, qualifyingData: Uint8Array, authorisation?: CommandAuth): Promise<Attestation>
  /** TPM2_CertifyCreation of a loaded object, whose own authorisation is not needed. */
  certifyCreation(object: Entity, qualifyingData: Uint8Array, creation: CreationProof): Promise<Attestation>
  /** TPM2_NV_Certify of the first `size` bytes of an index that anybody may read. */
  certifyNv(index: Entity, size: number, qualifyingData: Uint8Array): Promise<Attestation>
  /** Flushes it. */
  close(): Promise<void>
}
