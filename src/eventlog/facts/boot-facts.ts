import type { EventRef } from '../../core/index.ts'
import type { Partition } from '../payload/gpt.ts'

/**
 * What a boot was, derived only from what digests of the judged bank vouch for: safe to judge once the log replays to
 * quoted values. JSON-able; digests are hex. What the log does not prove is absent: absent is unknown, never "no".
 *
 * Nothing here depends on digests of other banks, on EV_NO_ACTION events (but the startup locality, which is part of
 * PCR 0), or on the payload or type of an event that its digest does not vouch for. So an image is known by its digest
 * and place alone; its path is in the summary of the event, and is untrusted.
 *
 * Whoever has the machine after boot may extend PCR 0 to 15, and may write any type and payload around the digests that
 * were measured: an event can be made unreadable, and a wanted one be added at the end of a register. So a register that
 * facts read is accounted for whole: an event of it that nothing reads is in `unread`, and what stands before the
 * firmware's separator, which nobody can add to later, counts before what stands behind it.
 */
export interface BootFacts {
  readonly bank: string
  readonly secureBoot: SecureBootFacts
  readonly firmware: FirmwareFacts
  /** EV_SEPARATOR of each register; 0 and 0xFFFFFFFF are regular ends of the firmware's part, 1 is its error. */
  readonly separators: readonly SeparatorFact[]
  readonly bootOptions: BootOptionFacts
  /** GPT of the boot disk, once a boot attempt. */
  readonly partitionTables: readonly PartitionTableFact[]
  /** Digests of drivers and option ROMs (PCR 2). */
  readonly drivers: readonly ImageFact[]
  /** Digests of whatever is neither separator nor action in PCR 4, in order: EFI applications, boot loaders, kernels. */
  readonly bootApplications: readonly ImageFact[]
  /** "Calling EFI Application from Boot Option", once an attempt; more than one is legal. */
  readonly bootAttempts: readonly EventFact[]
  /** Present when the log has the firmware's success event: only then was the last image really booted. */
  readonly exitBootServices?: EventFact
  /** Firmware actions that are nobody's default: debug mode, DMA protection off, setup entered. */
  readonly actions: readonly TextFact[]
  readonly shim: ShimFacts
  readonly grub: GrubFacts
  /** Digests of the files that boot loaders read, kernel and initrd among them (PCR 9); their paths are untrusted. */
  readonly bootFiles: readonly FileFact[]
  readonly kernel: KernelFacts
  readonly eve: EveFacts
  /**
   * Measurements of PCR 1, 5, 7, 8, 12, 13 and 14 that are none of the above, nor a separator, an action or a variable
   * that says what it is, nor Windows' own. Any of them may be what a fact of its register should have shown.
   */
  readonly unread: readonly UnreadFact[]
}

/** A measurement that nothing explains: all that is known of it. */
export interface UnreadFact {
  /** Digest in the judged bank. */
  readonly digest: string
  readonly event: EventPlace
}

/** The position of an unbound event: all of it that replay authenticates, besides its digest. */
export interface EventPlace {
  readonly index: number
  readonly pcr: number
}

export interface EventFact {
  readonly event: EventRef
}

export interface TextFact extends EventFact {
  readonly text: string
}

export interface SeparatorFact extends EventFact {
  readonly register: number
  readonly value: number
}

export interface ImageFact {
  /** Authenticode digest in the judged bank. */
  readonly digest: string
  /** How many boot attempts the firmware had announced when it was measured. */
  readonly attempt: number
  readonly event: EventPlace
}

export interface CertificateFact {
  /** SHA-256 of the DER. */
  readonly fingerprint: string
  /** Owner GUID that the firmware's database names. */
  readonly owner: string
  /** Names as the certificate has them; absent where it does not parse. */
  readonly subject?: string
  readonly issuer?: string
}

/** One of PK, KEK, db, dbx, … as it was measured. */
export interface KeyDatabaseFact extends EventFact {
  /** Digest of the event in the judged bank. */
  readonly digest: string
  /** Bytes of the variable; 0 when it is not set. */
  readonly size: number
  readonly empty: boolean
  /** Absent where the variable is not a chain of EFI_SIGNATURE_LIST. */
  readonly certificates?: readonly CertificateFact[]
  /** Hashes of images (db, dbx) or of certificates' to-be-signed parts. */
  readonly hashes?: readonly string[]
  /** The newest time from which an entry revokes certificates, ISO 8601; most databases have no such entry. */
  readonly newestRevocation?: string
}

/** A certificate or hash that the firmware, or shim, verified an image with. */
export interface AuthorityFact extends EventFact {
  /** Variable that it was found in: `db`, `MokList`, `MokListRT`, `Shim`, `vendor_db`. */
  readonly name: string
  /** GUID of that variable. */
  readonly vendor: string
  readonly digest: string
  readonly certificate?: CertificateFact
  /** For `db`: whether the database that was measured before has exactly this entry. */
  readonly inDb?: boolean
}

export interface SecureBootFacts {
  /**
   * `true`: the variable is 1, PK, KEK and db are there, and every authority named `db` is in db. `false`: the
   * variable is 0. Absent: neither is proven, and `doubts` says why.
   */
  readonly enabled?: boolean
  readonly doubts: readonly string[]
  /** Whether the platform key is missing, so that anybody may write the databases. */
  readonly setupMode?: boolean
  readonly auditMode?: boolean
  readonly deployedMode?: boolean
  readonly pk?: KeyDatabaseFact
  readonly kek?: KeyDatabaseFact
  readonly db?: KeyDatabaseFact
  readonly dbx?: KeyDatabaseFact
  readonly dbt?: KeyDatabaseFact
  readonly dbr?: KeyDatabaseFact
  readonly authorities: readonly AuthorityFact[]
}

export interface FirmwareFacts {
  /** EV_S_CRTM_VERSION; text where it is text, hex otherwise. */
  readonly version?: TextFact
  readonly startupLocality: number
}

export interface BootOptionFacts {
  readonly order?: EventFact & { readonly numbers: readonly number[] }
  /** The options in the order of measurement; their numbers are not always authenticated, so they are not here. */
  readonly options: readonly (EventFact & { readonly description: string; readonly path: string })[]
}

export interface PartitionTableFact extends EventFact {
  readonly disk: string
  readonly partitions: readonly Partition[]
}

export interface ShimFacts {
  readonly sbatLevel?: TextFact
  /** Whether the machine owner's keys count (MokListTrusted). */
  readonly mokListTrusted?: EventFact & { readonly value: boolean }
}

export interface GrubFacts {
  /** Every text of PCR 8 but the command lines that repeat the arguments of a loading command before them. */
  readonly commands: readonly TextFact[]
}

export interface FileFact {
  readonly digest: string
  readonly event: EventPlace
}

export interface KernelFacts {
  /** Every text that may have been the command line of a kernel or of a module that is one, in order. */
  readonly commandLines: readonly TextFact[]
  /** The one command line, if all are equal and PCR 8 and 12 have no event that is not read. */
  readonly commandLine?: TextFact
}

export interface EveFacts {
  /** Files of `/config` as EVE's measure-config tool saw them (PCR 14). */
  readonly config: readonly (EventFact & {
    readonly path: string
    readonly exists: boolean
    /** SHA-256 of the content, where it was measured. */
    readonly contentHash?: string
  })[]
  /** SHA-256 of the root file system image (PCR 13). */
  readonly rootfs: readonly (EventFact & { readonly hash: string })[]
}
