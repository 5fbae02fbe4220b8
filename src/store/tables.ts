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
  }
  tokens: { id: string; name: string; role: string; secretSha256: string; created: number; revoked: number | null }
  audit: { id: string; time: number; actor: string; action: string; subject: string; detail: string }
}
