import type { Generated } from 'kysely'

/**
 * The schema as the queries see it: what goes in and what is compared. What comes out is checked at the edge (see
 * columns.ts), because a database can be edited, restored or written by another version.
 *
 * Portable types only: text, integers, bytes. Times are milliseconds since the Unix epoch, digests and Names lower-case
 * hex, flags 0 or 1, JSON is text. Unsigned 64-bit values (a TPM's clock) are 16 hex digits, which order as text just as
 * the numbers do and fit where a signed integer does not.
 */
export interface Tables {
  schemaVersion: { version: number; name: string; applied: number }
  secrets: { name: string; value: Uint8Array; created: number }
  nodes: {
    id: string
    status: string
    model: string
    serial: string
    /** 1 for the one node that this model and serial belong to. */
    holdsIdentity: number
    labels: string
    admittedBy: string
    ekSha256: string
    ekPublic: Uint8Array
    akPublic: Uint8Array
    akName: string
    devicePublic: Uint8Array
    deviceKeyName: string
    /** JSON. */
    pcrBanks: string
    created: number
    enrolled: number
    lastNonceIssued: number | null
    lastClock: string | null
    lastResetCount: number | null
    lastRestartCount: number | null
    lastSafe: number | null
    lastFirmwareVersion: string | null
    lastEventLog: string | null
    lastAttestation: string | null
    reenrolAkName: string | null
    reenrolDeviceKeyName: string | null
    reenrolRequested: number | null
    reenrolApproved: number | null
    /** `node` or `guest`. */
    kind: Generated<string>
    /** UUID of a guest, and the node that it was bound to when it enrolled. */
    guestId: string | null
    hostNodeId: string | null
  }
  nodeEks: { spkiSha256: string; nodeId: string; certificate: Uint8Array | null; created: number }
  onboardingSessions: {
    id: string
    ekSha256: string
    ekPublic: Uint8Array
    ekCertificate: Uint8Array | null
    akPublic: Uint8Array
    akName: string
    model: string
    serial: string
    pcrs: string
    /** JSON. */
    pcrBanks: string
    secret: Uint8Array
    created: number
    expires: number
    consumed: number | null
    /** 1 for what was begun in the name of an enrolled node. */
    ofNode: number
  }
  evidenceLogs: { digest: string; size: number; bytes: Uint8Array; stored: number }
  nodeLogs: { nodeId: string; digest: string; used: number }
  /** Where the IMA log of each node was left, in the boot that it is in. */
  imaLogs: { nodeId: string; boot: string; state: string; bytes: number; isWhole: number; updated: number }
  /** The bytes of it, in order; contents are evidence logs. */
  imaParts: { nodeId: string; start: number; size: number; digest: string }
  attestations: {
    id: string
    nodeId: string
    purpose: string
    time: number
    freshFrom: number
    akName: string
    resetCount: number
    requestSha256: string | null
    status: string
    vector: string
    checks: string
    firstFailure: string | null
    inputs: string
    /** What it was made of beside quote, logs and documents; see `packEvidence` of the verifier. */
    evidence: string | null
    quote: Uint8Array
    signature: Uint8Array
    result: string | null
  }
  certificates: {
    serial: string
    nodeId: string
    kind: string
    keyName: string
    notBefore: number
    notAfter: number
    pem: string
    revoked: number | null
    /** A guest's UUID, or tenant and name of an app's key. */
    subject: string | null
  }
  /** Which guest may run where. A row stays when its guest is removed: what was learnt of it holds for its next one. */
  placements: {
    guest: string
    nodeId: string
    tenant: string
    /** `placed`, `moving` or `removed`. */
    state: string
    /** The highest that was seen or granted. */
    generation: number
    /** Where an approved migration takes it. */
    destination: string | null
    ekSha256: string | null
    /** Another EK that asks to be this guest's. */
    askedEkSha256: string | null
    created: number
    actor: string
  }
  /** What a node's broker has made in its TPM, as last quoted. */
  nodeRoots: {
    nodeId: string
    nodeRef: string
    storageRootName: string
    counterName: string
    counter: number
    pcrs: string
    transportKey: Uint8Array
    updated: number
  }
  releases: {
    nodeId: string
    nodeRef: string
    release: number
    pcrs: string
    pcrDigest: string
    /** JSON, as signed. */
    document: string
    /** `verifier` for what a good quote showed, `operator` for what was approved. */
    origin: string
    created: number
    actor: string
  }
  /** Only ever added to: the current document of a name is the one with the highest revision. */
  resources: {
    kind: string
    name: string
    revision: number
    document: string
    digest: string
    updated: number
    actor: string
    /** Why it was changed, in the words of who did. */
    reason: string | null
  }
  /** Policies and reference sets that verdicts were made by, by the SHA-256 of their text, whether applied or read from files. */
  documents: { digest: string; document: string; stored: number }
  tokens: { id: string; name: string; role: string; secretSha256: string; created: number; revoked: number | null }
  audit: { id: string; time: number; actor: string; action: string; subject: string; detail: string }
}
