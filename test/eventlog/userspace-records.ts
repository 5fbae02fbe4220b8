import { createHash } from 'node:crypto'

export const BOOT_ID = '7b8e5a3e0a1c4e0f9c5a6a4d1f0b2c3d'

export interface Entry {
  readonly pcr?: number
  readonly nvIndex?: number
  readonly eventType: string
  readonly string: string
  /** What was hashed; the string itself unless given. */
  readonly measured?: string
  /** In SHA-256, in place of that of what was measured. */
  readonly digest?: Buffer
  readonly extra?: Record<string, unknown>
  /** SHA-1 and SHA-256 unless given. */
  readonly banks?: readonly string[]
}

/** A record as systemd writes it: `src/shared/tpm2-util.c`, `tpm2_userspace_log`. */
export function line({ pcr, nvIndex, eventType, string, measured, digest, extra, banks }: Entry): string {
  const digests = (banks ?? ['sha1', 'sha256']).map((hashAlg) => {
    const usual = createHash(hashAlg).update(measured ?? string)
    const bytes = digest === undefined || hashAlg !== 'sha256' ? usual.digest() : digest
    return { hashAlg, digest: bytes.toString('hex') }
  })
  const register = pcr === undefined ? { nv_index: nvIndex } : { pcr }
  const content = { string, bootId: BOOT_ID, timestamp: 4061113, eventType, ...extra }
  return `\x1e${JSON.stringify({ ...register, digests, content_type: 'systemd', content })}\n`
}

export function userspaceLog(...entries: readonly Entry[]): Buffer {
  return Buffer.from(entries.map(line).join(''))
}

export const PHASES = ['enter-initrd', 'leave-initrd', 'sysinit', 'ready'] as const
export const phases: readonly Entry[] = PHASES.map((string) => ({ pcr: 11, eventType: 'phase', string }))
export const machineId: Entry = { pcr: 15, eventType: 'machine-id', string: `machine-id:${BOOT_ID}` }
