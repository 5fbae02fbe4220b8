/** Sizes in bytes that both sides hold to. A body above them is refused before it is parsed. */
export const LIMITS = {
  /** A firmware event log; the largest known real ones are below 300 KB, padding included. */
  eventLog: 1 << 20,
  /** An IMA log; 100,000 entries of usual length. */
  imaLog: 16 << 20,
  /** systemd's log of its own measurements; a boot has some ten records of about a kilobyte. */
  userspaceLog: 1 << 20,
  /** Any TPM structure in a body. */
  structure: 4096,
  certificate: 8192,
  certificateChain: 8,
  request: 4096,
  /** Claimed model and serial: they end up in certificates and on screens. */
  claim: 64,
} as const
