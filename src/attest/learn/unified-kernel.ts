import { hash as oneShot } from 'node:crypto'
import type { PeImage, PeSection } from './pe-image.ts'

/**
 * The sections of a unified kernel image that systemd-stub measures into PCR 11, in its order, and the first version that
 * does (systemd `src/fundamental/uki.c`). `.pcrsig` is never measured: it signs the outcome.
 */
const MEASURED: readonly (readonly [name: string, since: number])[] = [
  ['.linux', 252],
  ['.osrel', 252],
  ['.cmdline', 252],
  ['.initrd', 252],
  ['.ucode', 256],
  ['.splash', 252],
  ['.dtb', 252],
  ['.uname', 254],
  ['.sbat', 254],
  ['.pcrpkey', 252],
  ['.profile', 257],
  ['.dtbauto', 257],
  ['.hwids', 257],
  ['.efifw', 258],
]

/** What userspace extends PCR 11 with as the boot goes on (systemd-pcrphase.service). */
export const BOOT_PHASES = ['enter-initrd', 'leave-initrd', 'sysinit', 'ready'] as const

export interface UnifiedKernel {
  /** Of the stub, `252`; `undefined` where it does not say: then all known sections are taken as measured. */
  readonly stub: number | undefined
  readonly measured: readonly PeSection[]
}

/** Whether it is one: it has a kernel in it. */
export function readUnifiedKernel({ sections }: PeImage): UnifiedKernel | undefined {
  const named = (name: string) => sections.find((section) => section.name === name)
  if (named('.linux') === undefined) return undefined
  const said = /LoaderInfo: systemd-stub (\d{1,4})/.exec(named('.sdmagic')?.content.toString('latin1') ?? '')
  const stub = said === null ? undefined : Number(said[1])
  const measured = MEASURED.flatMap(([name, since]) => {
    const section = stub === undefined || stub >= since ? named(name) : undefined
    return section === undefined ? [] : [section]
  })
  return { stub, measured }
}

/**
 * What PCR 11 holds after the stub, and after each phase of the boot behind it: name with its NUL and content of each section,
 * then the text of each phase. `hash` as `crypto.hash` names it. O(n).
 */
export function predictPcr11({ measured }: UnifiedKernel, hash: string): { after: string; value: Buffer }[] {
  let value = Buffer.alloc(oneShot(hash, '', 'buffer').byteLength)
  const extend = (data: Uint8Array) => {
    value = oneShot(hash, Buffer.concat([value, oneShot(hash, data, 'buffer')]), 'buffer')
  }
  for (const { name, content } of measured) {
    extend(Buffer.from(`${name}\0`, 'latin1'))
    extend(content)
  }
  const predicted = [{ after: 'stub', value }]
  for (const phase of BOOT_PHASES) {
    extend(Buffer.from(phase, 'utf8'))
    predicted.push({ after: phase, value })
  }
  return predicted
}
