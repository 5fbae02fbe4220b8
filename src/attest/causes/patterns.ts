import type { Pattern } from './pattern.ts'
import { BOOT_PATH_PATTERNS } from './patterns/boot-path.ts'
import { EVIDENCE_PATTERNS } from './patterns/evidence.ts'
import { FIRMWARE_PATTERNS } from './patterns/firmware.ts'
import { RUNTIME_PATTERNS } from './patterns/runtime.ts'
import { SECURE_BOOT_PATTERNS } from './patterns/secure-boot.ts'
import { SYSTEM_PATTERNS } from './patterns/system.ts'

/** Patterns of one part of the boot, with a heading for docs/causes.md. */
export interface PatternGroup {
  readonly title: string
  readonly patterns: readonly Pattern[]
}

/**
 * Every cause that is known, in the order in which they are looked for: the evidence first, then as a machine boots; of one part,
 * what is special before what is general. A difference that a pattern explains is not seen by those behind it.
 */
export const PATTERN_GROUPS: readonly PatternGroup[] = [
  { title: 'The evidence and its TPM', patterns: EVIDENCE_PATTERNS },
  { title: 'Firmware', patterns: FIRMWARE_PATTERNS },
  { title: 'Secure Boot and shim', patterns: SECURE_BOOT_PATTERNS },
  { title: 'What is booted from where, and releases', patterns: BOOT_PATH_PATTERNS },
  { title: 'Boot loader, kernel and system', patterns: SYSTEM_PATTERNS },
  { title: 'The running system, guests, and policies', patterns: RUNTIME_PATTERNS },
]

export const PATTERNS: readonly Pattern[] = PATTERN_GROUPS.flatMap(({ patterns }) => patterns)
