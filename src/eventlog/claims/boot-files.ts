import type { AnnotatedEvent } from '../annotate.ts'
import { isMarker, isNvRegister } from '../facts/unread.ts'
import { labelText } from '../payload/text.ts'
import { measurementsOf, type Reading } from './reading.ts'

/** Files that a boot loader read: of PCR 9 whatever is no marker; of an RTMR what nothing vouches for. */
export function filesOf(reading: Reading): readonly AnnotatedEvent[] {
  return measurementsOf(reading, 9).filter(
    (event) => !isMarker(event) && !isNvRegister(event) && (reading.kind === 'pcr' || event.content === undefined),
  )
}

/** Before the text of what Linux's EFI stub logs: the header of a tagged event. */
const TAG_HEADER = 8

/** Older patches of GRUB name a file by what it is; Linux's EFI stub does so too (drivers/firmware/efi/libstub). */
const KERNEL = /^grub_\w+ Kernel$/
const INITRD = /^grub_\w+ Initrd$|^Linux initrd$/

export function isKernelLabel(label: string): boolean {
  return KERNEL.test(label)
}

export function isInitrdLabel(label: string): boolean {
  return INITRD.test(label)
}

/** The label may stand behind the device that the loader had as its root. */
export function isLabelled(file: AnnotatedEvent, path: string): boolean {
  const label = labelOf(file)
  return label !== undefined && (label === path || label.replace(/^\([^)]*\)/, '') === path)
}

export function labelOf({ event }: AnnotatedEvent): string | undefined {
  return (
    labelText(event.data, 1024) ??
    (event.data.byteLength > TAG_HEADER ? labelText(event.data.subarray(TAG_HEADER), 64) : undefined)
  )
}
