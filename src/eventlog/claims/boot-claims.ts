import type { ReplayBank } from '../log.ts'
import type { Partition } from '../payload/gpt.ts'
import type { Claim, ListClaim } from './claim.ts'

/**
 * What a boot was, as far as its log tells: every leaf a claim that says where it came from, whether digests vouch for
 * it, and why where it is unknown. The table of all of them is docs/claims.md (from `claim-catalogue.ts`).
 *
 * Two conventions that a test holds: a name that begins with `untrusted` marks whatever no digest vouches for, alone or
 * within a value; and `event` within a value is the index of the event that it came from. Neither is in `boundClaims`.
 *
 * As facts, claims are true of a machine only if the log replays to values that a quote signed and its structure is
 * sound; `log show` has no quote and so shows what would then be true.
 */
export interface BootClaims {
  /** The bank whose digests vouch for what is bound. */
  readonly bank: ReplayBank
  readonly firmware: FirmwareClaims
  readonly secureBoot: SecureBootClaims
  readonly shim: ShimClaims
  readonly platform: PlatformClaims
  readonly boot: BootPathClaims
  readonly loader: LoaderClaims
  readonly kernel: KernelClaims
  readonly rootfs: RootFileSystemClaims
  readonly eve: EveClaims
  readonly userspace: UserspaceClaims
  readonly windows: WindowsClaims
  readonly drtm: DynamicLaunchClaims
  readonly log: LogClaims
}

/** A measurement of which only the digest is proven. */
export interface DigestClaim {
  /** In the judged bank, hex. */
  readonly digest: string
  readonly event: number
  readonly untrustedType?: string
  readonly untrustedDescription?: string
}

/** PCR 0, 2 and what firmware says of itself. */
export interface FirmwareClaims {
  /** EV_S_CRTM_VERSION: text where it is text, hex otherwise; often a GUID or zeros that identify nothing. */
  readonly version: Claim<string>
  /** The locality of TPM2_Startup, which is part of PCR 0: 0, 3, or 4 after an H-CRTM sequence. */
  readonly startupLocality: Claim<number>
  /** Whether the processor measured the first firmware itself, before TPM2_Startup (H-CRTM). */
  readonly hcrtm: Claim<boolean>
  /** Digests of PCR 0 beside separators: version, S-CRTM contents, firmware volumes, POST code. Of coreboot PCR 2. */
  readonly code: ListClaim<DigestClaim>
  /** Digests of PCR 2: option ROMs, drivers, firmware of devices. */
  readonly drivers: ListClaim<DigestClaim>
  /** Registers in which the firmware ended its part with the separator of an error. */
  readonly failedRegisters: ListClaim<number>
  /** What an SP800-155 event names: manufacturer, model and version of platform and firmware. */
  readonly untrustedPlatform: Claim<Readonly<Record<string, string>>>
  /** Texts of EV_CPU_MICROCODE. */
  readonly untrustedMicrocode: ListClaim<string>
}

export interface CertificateClaim {
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string
  /** GUID of whoever put it into the database. */
  readonly owner: string
  /** Absent where the certificate does not parse. */
  readonly subject?: string
  readonly issuer?: string
}

/** One of PK, KEK, db, dbx, dbt, dbr as it was measured. */
export interface KeyDatabaseClaim {
  /** Digest of the event in the judged bank, hex. */
  readonly digest: string
  /** Bytes of the variable; 0 where it is not set. */
  readonly size: number
  readonly certificates: readonly CertificateClaim[]
  /** Hashes of images, or of certificates' to-be-signed parts, hex. */
  readonly hashes: readonly string[]
  readonly hashCount: number
  readonly event: number
}

/** What verified an image: a certificate, or a hash that is in a database. */
export interface AuthorityClaim {
  /** Variable that it was found in: `db`; for shim `MokList`, `Shim`, `vendor_db`, … */
  readonly name: string
  /** GUID of that variable. */
  readonly vendor: string
  /** Digest of the event in the judged bank, hex. */
  readonly digest: string
  readonly certificate?: CertificateClaim
  readonly event: number
}

/** PCR 7 before its separator, and what verified images behind it. PC Client Platform Firmware Profile 1.06, 3.3.4.8. */
export interface SecureBootClaims {
  /** Known `true` only with variable 1, PK, KEK and db there, and every authority named `db` in db. */
  readonly enabled: Claim<boolean>
  /** Whether there is no platform key, so that anybody may write the databases. */
  readonly setupMode: Claim<boolean>
  readonly auditMode: Claim<boolean>
  readonly deployedMode: Claim<boolean>
  readonly pk: Claim<KeyDatabaseClaim>
  readonly kek: Claim<KeyDatabaseClaim>
  readonly db: Claim<KeyDatabaseClaim>
  readonly dbx: Claim<KeyDatabaseClaim>
  readonly dbt: Claim<KeyDatabaseClaim>
  readonly dbr: Claim<KeyDatabaseClaim>
  /** Newest time of revocation in dbx, ISO 8601; only entries for certificates carry one. */
  readonly dbxNewestRevocation: Claim<string>
  /** What the firmware verified images with, in order. */
  readonly authorities: ListClaim<AuthorityClaim>
  /** Whether each authority named `db` is an entry of the measured db. */
  readonly authoritiesInDb: Claim<boolean>
}

/** What shim measured of itself, PCR 7 and 14. */
export interface ShimClaims {
  readonly sbatLevel: Claim<string>
  /** Whether keys of the machine's owner count (MokListTrusted). */
  readonly mokListTrusted: Claim<boolean>
  /** Whether shim verifies what it starts (MokSBState is 0). */
  readonly validation: Claim<boolean>
  /** What shim verified images with: its own key, the vendor's, or the owner's. */
  readonly authorities: ListClaim<AuthorityClaim>
  /** Digests in PCR 14 that the log calls lists of the machine's owner: MokList, MokListX, … */
  readonly untrustedOwnerLists: ListClaim<DigestClaim>
}

/** What the firmware announces by actions. */
export interface PlatformClaims {
  /** `false` where the firmware said "DMA Protection Disabled"; `true` is never proven, since no log says it. */
  readonly dmaProtection: Claim<boolean>
  /** `true` where the firmware said "UEFI Debug Mode". */
  readonly debugger: Claim<boolean>
  /** `true` where the firmware said "Entering ROM Based Setup". */
  readonly setupEntered: Claim<boolean>
  /** Texts of the specified actions in PCR 1 to 7: boot attempts, ExitBootServices, and what is above. */
  readonly actions: ListClaim<string>
}

export interface ImageClaim {
  /** Authenticode digest in the judged bank, hex. */
  readonly digest: string
  /** How many boot attempts the firmware had announced in the same register when it was measured. */
  readonly attempt?: number
  readonly event: number
  readonly untrustedPath?: string
  /** The authority that the log shows just before it. Order between registers is not measured. */
  readonly untrustedAuthority?: string
  /** The same as `attempt` where attempts are announced in another register. */
  readonly untrustedAttempt?: number
}

export interface BootOptionClaim {
  readonly description: string
  readonly path: string
  readonly event: number
}

export interface PartitionTableClaim {
  readonly disk: string
  readonly partitions: readonly Partition[]
  readonly event: number
}

/** PCR 1, 4 and 5: what was to be booted, and what was. */
export interface BootPathClaims {
  /** How often the firmware announced that it calls a boot option. */
  readonly attempts: Claim<number>
  /** BootOrder: numbers of boot options. */
  readonly order: Claim<readonly number[]>
  readonly options: ListClaim<BootOptionClaim>
  /** Everything that was measured into PCR 4 as an image, in order. */
  readonly images: ListClaim<ImageClaim>
  /** Those of the last attempt, if it came to ExitBootServices. */
  readonly bootedImages: ListClaim<ImageClaim>
  readonly exitBootServices: Claim<boolean>
  /** GPT of the boot disk, once an attempt. */
  readonly partitionTables: ListClaim<PartitionTableClaim>
}

export type LoaderName =
  'grub' | 'eve-grub' | 'systemd-boot' | 'systemd-stub' | 'linux-efi-stub' | 'windows-bootmgr' | 'shim'

export interface LoaderStageClaim {
  readonly name: LoaderName
  /** How it was concluded, for people. */
  readonly basis: string
  readonly event: number
}

/** PCR 8 and 9, and what gives a boot loader away. */
export interface LoaderClaims {
  /** What loaded the operating system, if it measures what it does. */
  readonly name: Claim<LoaderName>
  /** The same by names of files and labels, where nothing that is bound tells. */
  readonly untrustedName: Claim<LoaderName>
  /** Programs that measured something in a way that is theirs. One that measures nothing is not seen: never complete. */
  readonly stages: ListClaim<LoaderStageClaim>
  /** Commands that GRUB ran, in order. */
  readonly commands: ListClaim<string>
  /** Digests of the files that the loader read (PCR 9): configuration, modules, kernel, initrd. */
  readonly files: ListClaim<DigestClaim>
}

export interface SectionClaim {
  /** Name of the section: `.linux`, `.initrd`, `.cmdline`, … */
  readonly name: string
  /** Digest of its content in the judged bank, hex. */
  readonly digest: string
  readonly event: number
}

export interface KernelClaims {
  /** Every text that may have been a command line of a kernel, or of a module that is one, in order. */
  readonly commandLines: ListClaim<string>
  /** The one command line, where all are equal. */
  readonly commandLine: Claim<string>
  /** The kernel that the boot loader was told to load. */
  readonly path: Claim<string>
  /** The initial file systems that the boot loader was told to load. */
  readonly initrdPaths: ListClaim<string>
  /** The digest that the log says is the kernel's: of the file (PCR 9), of the image (4) or of the section (11). */
  readonly untrustedKernel: Claim<DigestClaim>
  readonly untrustedInitrds: ListClaim<DigestClaim>
  /** Sections of a unified kernel image that sd-stub measured, PCR 11. */
  readonly ukiSections: ListClaim<SectionClaim>
}

export interface RootFileSystemClaims {
  /** `root=` of the command line. */
  readonly root: Claim<string>
  /** Root hash of dm-verity for the root file system in the command line, hex. */
  readonly verityRootHash: Claim<string>
  /** The same for /usr. */
  readonly verityUsrHash: Claim<string>
  /** SHA-256 of the root file system's image as EVE's boot loader measured it (PCR 13), hex. */
  readonly imageHash: Claim<string>
}

export interface EveClaims {
  /** Files of `/config` (PCR 14). `contentHash`: SHA-256 of the content where it was measured. */
  readonly config: ListClaim<EveFileClaim>
}

export interface EveFileClaim {
  readonly path: string
  readonly exists: boolean
  readonly contentHash?: string
  readonly event: number
}

/** What systemd measures once the kernel runs: PCR 11, 12 and 15. */
export interface UserspaceClaims {
  /** Phases of the boot that systemd-pcrphase announced (PCR 11), in order. */
  readonly phases: ListClaim<string>
  /** From `machine-id:` (PCR 15). */
  readonly machineId: Claim<string>
  /** From `file-system:` (PCR 15): what was mounted, as systemd-pcrfs saw it. */
  readonly fileSystems: ListClaim<string>
  /** All other texts of PCR 11 and 15, in order. */
  readonly texts: ListClaim<string>
  /** Digests of PCR 15 of which the log does not have the content, as it is with volume keys. */
  readonly untrustedSecrets: ListClaim<DigestClaim>
}

/**
 * Windows' own log (WBCL), PCR 12 and 13 up to Windows' separator: wbcl.h of the Windows SDK. Where the boot manager and
 * the loader both say something, they must agree.
 */
export interface WindowsClaims {
  readonly bootDebugging: Claim<boolean>
  readonly kernelDebugging: Claim<boolean>
  readonly hypervisorDebugging: Claim<boolean>
  readonly testSigning: Claim<boolean>
  readonly flightSigning: Claim<boolean>
  /** Whether the signatures of kernel modules are checked. */
  readonly codeIntegrity: Claim<boolean>
  readonly safeMode: Claim<boolean>
  readonly winPe: Claim<boolean>
  /** As the boot configuration has it: 0 opt-in, 1 opt-out, 2 always off, 3 always on. */
  readonly dataExecutionPrevention: Claim<number>
  /** 0 off, 1 automatic. */
  readonly hypervisorLaunchType: Claim<number>
  /** Virtual secure mode: 0 off, 1 automatic. */
  readonly vsmLaunchType: Claim<number>
  /** Whether the boot must fail without virtual secure mode, an IOMMU, Secure Boot; said only where it must. */
  readonly vsmRequired: Claim<boolean>
  readonly iommuRequired: Claim<boolean>
  readonly secureBootRequired: Claim<boolean>
  /** Whether the hypervisor keeps devices from writing to memory during boot. */
  readonly bootDmaProtection: Claim<boolean>
  /** When the boot manager's list of revoked programs was made, ISO 8601. */
  readonly bootRevocationListTime: Claim<string>
  /** How often this installation booted, as its counter says: decimal, since it may exceed 2^53. */
  readonly bootCounter: Claim<string>
  /** How each stage found the BitLocker volume: flags of SIPAEVENT_BITLOCKER_UNLOCK, 0 where there was none. */
  readonly bitlockerUnlock: ListClaim<number>
  /** Vendors' keys of early-launch anti-malware drivers. */
  readonly elamDrivers: ListClaim<string>
  /** Modules that boot manager and loader read, with their Authenticode digests; paths are theirs and bound. */
  readonly modules: ListClaim<WindowsModuleClaim>
}

export interface WindowsModuleClaim {
  readonly path: string
  /** Authenticode digest, hex. */
  readonly digest?: string
  /** Issuer of the certificate that it was signed with. */
  readonly issuer?: string
  readonly validated?: boolean
  readonly event: number
}

/** A dynamic launch (Intel TXT, AMD SKINIT), PCR 17 to 22. */
export interface DynamicLaunchClaims {
  readonly launched: Claim<boolean>
  /** Digests of PCR 17 to 22, in order. */
  readonly measurements: ListClaim<DynamicMeasurementClaim>
  /** The digest that the log says is the measured environment's (MLE hash). */
  readonly untrustedMle: Claim<DigestClaim>
}

export interface DynamicMeasurementClaim extends DigestClaim {
  readonly pcr: number
}

export interface LogClaims {
  /** Measurements of registers that claims read of which nothing is known but the digest. */
  readonly unread: ListClaim<UnreadClaim>
}

export interface UnreadClaim {
  readonly digest: string
  readonly pcr: number
  readonly event: number
}
