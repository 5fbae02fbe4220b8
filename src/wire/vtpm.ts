import { z } from 'zod'
import { bytesSchema, hexSchema } from './bytes.ts'
import { LIMITS } from './limits.ts'
import { guestId, tenantName } from './placement-names.ts'

/** Bodies of the broker's local API: guests and their TPMs. Times are RFC 3339 UTC. */

/** Permanent state of a TPM with all of its NV memory in use is far below this. */
const MAX_STATE = 2 << 20

/** Grants are compact JWS. */
const MAX_GRANT = 4096

const spki = bytesSchema(160)
const ekName = bytesSchema(66, 22)
const count = z.int().min(0)

/**
 * A secret for one P-256 key: ECDH with an ephemeral key, HKDF-SHA256, AES-256-GCM. Whose key it is is in the
 * authenticated part, and so is what the secret is for.
 */
export const wrappedKey = z.strictObject({
  /** SHA-256 of the recipient's SubjectPublicKeyInfo. */
  recipient: hexSchema(),
  /** DER SubjectPublicKeyInfo. */
  ephemeral: spki,
  iv: bytesSchema(12, 12),
  /** Ciphertext and tag. */
  ciphertext: bytesSchema(256, 17),
})

const archived = {
  guest: guestId,
  tenant: tenantName,
  /** Of which the state is. */
  generation: count,
  created: z.string(),
  ekName,
  /** False: the guest was running, or had ended without TPM2_Shutdown. */
  clean: z.boolean(),
  /** Permanent state under a key that is derived from the guest's; all of the above is authenticated with it. */
  state: z.strictObject({ iv: bytesSchema(12, 12), ciphertext: bytesSchema(MAX_STATE, 17) }),
  /** SHA-256 of `state.ciphertext`: what a grant to restore names. */
  digest: hexSchema(),
}

/** A guest's TPM in a file. It opens with the node that made it, with the fleet's recovery key, or where it was wrapped to. */
export const vtpmBackup = z.strictObject({
  format: z.literal('touchstone/vtpm-backup/v1'),
  ...archived,
  /** The guest's key as the node's TPM sealed it. */
  sealed: z.strictObject({
    nodeRef: hexSchema(),
    public: bytesSchema(LIMITS.structure),
    private: bytesSchema(LIMITS.structure),
  }),
  /** The same for the fleet's recovery key. */
  escrow: wrappedKey.optional(),
  /** The same for a node's transport key: added by `touchstone recovery rewrap`. */
  transport: wrappedKey.optional(),
})

/** A guest's TPM on its way to the node of a grant; here it is retired. */
export const vtpmPackage = z.strictObject({
  format: z.literal('touchstone/vtpm-migration/v1'),
  ...archived,
  /** The grant that it left under. */
  grant: z.uuid(),
  transport: wrappedKey,
})

/** `POST /v1/guests` */
export const guestCreation = z.strictObject({
  /** Minted where it is left out. */
  guest: guestId.optional(),
  tenant: tenantName.default('default'),
  /** How the guest reaches its TPM: a socket for tools and containers, or QEMU's `-tpmdev emulator`. */
  attachment: z.enum(['socket', 'qemu']).default('socket'),
  /** Whether it may start before its EK certificate is there; by default what the broker's configuration says. */
  certificate: z.enum(['required', 'later']).optional(),
})

export const guestPath = z.object({ guest: guestId })
/** Guests that were deleted or have moved are listed on request. */
export const guestQuery = z.strictObject({ all: z.enum(['true', 'false']).optional() })
export const guestStart = z.strictObject({ attachment: z.enum(['socket', 'qemu']).optional() })
/** `force` pulls the TPM from under a virtual machine that holds it. */
export const guestStop = z.strictObject({ force: z.boolean().default(false) })
/** `purge` leaves nothing on disk; otherwise the state lies in quarantine, without any key that opens it. */
export const guestDeletion = z.strictObject({ purge: z.boolean().default(false) })

/** `POST /v1/guests/:guest/restore`: from a backup, or from what lies on this node's disk. */
export const guestRestore = z
  .strictObject({
    backup: vtpmBackup.optional(),
    /** One of `restorable`. */
    generation: count.optional(),
    grant: z.string().max(MAX_GRANT).optional(),
    /** Instead of a grant, on a broker that was configured to take an operator's word. */
    confirm: z.boolean().default(false),
  })
  .refine(({ backup, generation }) => (backup === undefined) !== (generation === undefined), {
    message: 'expected either backup or generation',
  })
export const guestExport = z.strictObject({ grant: z.string().max(MAX_GRANT) })
export const guestImport = z.strictObject({ grant: z.string().max(MAX_GRANT), package: vtpmPackage })

const told = z.object({ code: z.string(), message: z.string(), hint: z.string(), time: z.string() })

export const guestSummary = z.object({
  guest: guestId,
  tenant: z.string(),
  /** `lost`: the ledger does not know it any more, and its state was put aside. */
  state: z.enum(['stopped', 'running', 'retired', 'lost']),
  /** Power-ons so far. */
  generation: count,
  /** Of the last end: TPM2_Shutdown came last. Of a running guest: its previous end was clean. */
  clean: z.boolean(),
  /** `obtained` ones are written into the TPM at the next start. */
  certificate: z.enum(['pending', 'obtained', 'written']),
  /** What went wrong last, and is not mended. */
  problem: told.optional(),
})

export const guestDetail = guestSummary.extend({
  /** Hex. */
  ekName: z.string(),
  attachment: z.enum(['socket', 'qemu']),
  certificatePolicy: z.enum(['required', 'later']),
  created: z.string().optional(),
  /** PEM. */
  ekCertificate: z.string().optional(),
  /** SHA-256 of the stopped state. */
  digest: hexSchema().optional(),
  running: z
    .object({
      pid: z.int(),
      started: z.string().optional(),
      control: z.string(),
      data: z.string().optional(),
      attached: z.boolean(),
    })
    .optional(),
  /** Whether the fleet's recovery key opens the guest's key: SHA-256 of that key, where it does. */
  escrow: hexSchema().optional(),
  /** State on this node's disk that is not the current one, newest first; needs a grant that names the digest. */
  restorable: z.array(
    z.object({
      generation: count,
      digest: hexSchema(),
      /** Genuine state of this guest; false where it does not open. Absent where nobody looked. */
      authentic: z.boolean().optional(),
      from: z.enum(['previous', 'quarantine']),
      reason: z.string().optional(),
    }),
  ),
})

export const guestList = z.object({ items: z.array(guestSummary) })

/** `GET /v1/node`: what others need to know of this node to send guests to it. */
export const vtpmNode = z.object({
  nodeId: z.string().optional(),
  nodeRef: hexSchema(),
  /** DER SubjectPublicKeyInfo. */
  transportKey: spki,
  /** SHA-256 of the recovery key's SubjectPublicKeyInfo. */
  recoveryKey: hexSchema().optional(),
  swtpm: z.object({ path: z.string(), version: z.string() }),
  guests: count,
  running: count,
  /** What is weaker on this node than it could be. */
  findings: z.array(z.string()),
})

export type WrappedKey = z.output<typeof wrappedKey>
export type VtpmBackup = z.output<typeof vtpmBackup>
export type VtpmPackage = z.output<typeof vtpmPackage>
export type GuestCreation = z.output<typeof guestCreation>
export type GuestRestore = z.output<typeof guestRestore>
export type GuestSummary = z.output<typeof guestSummary>
export type GuestDetail = z.output<typeof guestDetail>
export type VtpmNode = z.output<typeof vtpmNode>
