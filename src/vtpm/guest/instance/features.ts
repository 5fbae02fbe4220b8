/** The swtpm that was found, and what it can. */
export interface SwtpmProgram {
  readonly path: string
  /** `prlimit` of util-linux, which sets limits and becomes swtpm. */
  readonly prlimit: string
  readonly version: string
  readonly features: readonly string[]
}

/** The verbs of `--print-capabilities` (swtpm(8)) that change how it is run. */
export const FEATURE = {
  keyFd: 'cmdarg-key-fd',
  seccomp: 'cmdarg-seccomp',
  /** It writes state through to the disk before it answers; without it a power cut may lose what was acknowledged. */
  fsync: 'tpmstate-dir-backend-opt-fsync',
  /** It sends TPM2_Shutdown by itself when it ends in order; the option to leave that out came with it. */
  autoShutdown: 'flags-opt-disable-auto-shutdown',
} as const
