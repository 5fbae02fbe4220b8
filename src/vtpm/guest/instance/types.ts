import type { EkKind } from '../../../device/index.ts'

/**
 * How a guest reaches its TPM. `socket`: a container or a tool connects to `<dataSocket>` itself and to `<controlSocket>`
 * for what its TCTI asks (swtpm TCTI of tpm2-tss). `qemu`: a virtual machine's `-chardev socket,path=<controlSocket>
 * -tpmdev emulator`, which brings its own data channel.
 */
export type Attachment = 'socket' | 'qemu'

/** An endorsement key of a guest's TPM. */
export interface GuestEk {
  /** TCG template: `L-2` is P-256 (certificate at 0x01c0000a), `L-1` is RSA-2048 (certificate at 0x01c00002). */
  readonly kind: Extract<EkKind, 'L-1' | 'L-2'>
  /** TPM2B_PUBLIC. */
  readonly publicArea: Buffer
  readonly name: Buffer
}

/** A manufactured TPM that belongs to no guest yet. It exists in memory only. */
export interface ManufacturedTpm {
  /** swtpm's permanent state, not encrypted: the endorsement seed is in it. Overwrite it with zeros after use. */
  readonly blob: Buffer
  /** Best first; the first is the guest's identity in the ledger. */
  readonly eks: readonly [GuestEk, ...GuestEk[]]
}

export interface LaunchOptions {
  /** UUID of the guest. */
  readonly guest: string
  /**
   * Absolute path of the state directory of one generation; made with mode 0700 when it is not there. Where a user of its
   * own runs swtpm, every directory above it must let that user through (0711).
   */
  readonly dir: string
  /** 32 bytes, AES-256: encrypts what lies in `dir`. Copied; overwrite it when you like. */
  readonly key: Buffer
  /** Permanent state, not encrypted, to be written to `dir` under `key`. Without it, `dir` has state under `key` already. */
  readonly blob?: Buffer
  readonly attachment: Attachment
  /** User and group that swtpm runs as; needs root. Without it: those of this process. */
  readonly uid?: number
  /** Who may open the guest's sockets; needs root. Without it: the user of this process. */
  readonly owner?: { readonly uid: number; readonly gid: number }
}

/** How an instance came to its end. */
export interface InstanceEnd {
  /** TPM2_Shutdown(CLEAR) was executed last: nothing counts against the guest's lockout at its next start. */
  readonly clean: boolean
  /** SHA-256 of the state as it lies in the directory now, written through to the disk. */
  readonly digest: Buffer
}

/** One running TPM. */
export interface Instance {
  readonly guest: string
  readonly dir: string
  readonly pid: number
  readonly attachment: Attachment
  /** `<runDir>/g/<short>/tpm`: swtpm's own socket, for `socket` guests; undefined for `qemu`. There after `expose`. */
  readonly dataSocket: string | undefined
  /** `<runDir>/g/<short>/tpm.ctrl`: the filtered control channel. There after `expose`. */
  readonly controlSocket: string
  /** Best first, as in {@link ManufacturedTpm}. */
  readonly eks: readonly [GuestEk, ...GuestEk[]]
  /** A virtual machine holds the data channel. Always false for `socket`. */
  readonly attached: boolean
  /**
   * Resolves when swtpm has ended by whatever cause and its directory is settled (see {@link InstanceEnd}). It is never
   * started again by itself: PCRs would be empty under a running guest.
   */
  readonly ended: Promise<InstanceEnd>
}

/** A control command that was not passed on. */
export interface RefusedControl {
  readonly guest: string
  /** Name of the command (`GET_STATEBLOB`), its number in hex when it has none, or `37 more` of those that were only counted. */
  readonly command: string
  /** A code of the error table. */
  readonly reason: 'control.refused' | 'control.sequence' | 'control.malformed' | 'control.busy' | 'control.missed'
}

/** What became of the process that serves the control sockets: see docs/adr/0015. */
export interface KeeperNews {
  /** `lost`: it ended and serves nobody any more. `failed`: there is none, and it is tried again. */
  readonly what: 'started' | 'adopted' | 'lost' | 'failed'
  readonly pid?: number
  readonly detail?: string
}

export interface SwtpmInstancesOptions {
  /** Absolute and short (sun_path holds 108 bytes); `g/` and `i/` are made below it. A tmpfs, so that a reboot empties it. */
  readonly runDir: string
  /** How many manufactured TPMs are kept ready. 0: each is made when it is asked for. */
  readonly poolSize: number
  /** `filtered` (default): tpm.ctrl is ours. `direct`: see docs/adr/0011; insecure, for a Node without the internal API. */
  readonly control?: 'filtered' | 'direct'
  /** Also make an RSA-2048 EK (default true): some guests know no other. */
  readonly rsaEk?: boolean
  /** Of which Touchstone this is: an older one's control keeper goes on with the machines that it has, and with no others. */
  readonly build?: string
  /**
   * For the audit log; resolves when it is on the disk. Bounded for each guest, also of the time when no broker ran: what
   * was more is counted. The same may come twice, and none gets lost as long as the control keeper lives.
   */
  readonly onRefused?: (refused: RefusedControl) => Promise<void>
  /** A virtual machine was powered on or reset: the TPM was initialised and its PCRs begin anew. */
  readonly onReset?: (guest: string, count: number) => void
  readonly onKeeper?: (news: KeeperNews) => void
}

/** Runs guests' TPMs: a swtpm process each, which outlives this one. */
export interface SwtpmInstances {
  /** The program that was found. */
  readonly program: { readonly path: string; readonly version: string; readonly features: readonly string[] }
  /** What is weaker here than it could be; for the log and for `describe`. */
  readonly findings: readonly string[]
  /** A manufactured TPM from the pool, or made now when the pool is empty (a few 100 ms). */
  take(): Promise<ManufacturedTpm>
  /** Starts one, initialised and its state written through to the disk. Nobody reaches it before {@link expose}. */
  launch(options: LaunchOptions): Promise<Instance>
  /** Puts the guest's sockets where the guest finds them, if they are not there yet. They stay served without this process. */
  expose(instance: Instance): Promise<void>
  /**
   * Writes an EK certificate (DER) into the NV index of its EK, under platform authorisation. `qemu`: only before a
   * virtual machine attached (`guest.attached`), and best before `expose`.
   */
  writeEkCertificate(instance: Instance, certificate: Buffer, kind?: GuestEk['kind']): Promise<void>
  /** The permanent state in `dir`, decrypted, with its EKs; `guest.state_damaged` when it is not authentic under `key`. */
  extract(options: { readonly dir: string; readonly key: Buffer; readonly uid?: number }): Promise<ManufacturedTpm>
  /** SHA-256 of the state in `dir` as it lies there: what the ledger holds of a stopped guest. */
  digest(dir: string): Promise<Buffer>
  /**
   * After a crash of the broker: the running instance of `guest` in `dir`, whose sockets were served all the while, or
   * undefined when it has ended. Call it before anything else touches `dir`.
   */
  adopt(options: { readonly guest: string; readonly dir: string; readonly key: Buffer }): Promise<Instance | undefined>
  /** Orderly power-off. `guest.attached` while a virtual machine is attached, unless forced. */
  stop(instance: Instance, options?: { readonly force?: boolean }): Promise<InstanceEnd>
  /** Ends the pool. Running instances keep running and their sockets stay served, for {@link adopt}. */
  close(): Promise<void>
}
