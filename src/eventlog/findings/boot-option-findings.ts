import type { AnnotatedEvent } from '../annotate.ts'
import { EV_EFI_VARIABLE_BOOT, EV_EFI_VARIABLE_BOOT2 } from '../event-types.ts'
import type { Finding } from '../log.ts'
import { EFI_GLOBAL_VARIABLE } from '../payload/guid.ts'
import { bootNumber, bootOrderNumbers, isBootVariable } from '../variables.ts'

/**
 * Names of boot variables. Most firmware measures their values alone, so a name could be changed; but the names that
 * can be are few: the order names each option that follows, and none comes twice.
 */
export function bootOptionFindings(events: readonly AnnotatedEvent[]): Finding[] {
  const findings: Finding[] = []
  const options: { readonly index: number; readonly number: number; readonly nameCovered: boolean }[] = []
  let order: ReadonlySet<number> | undefined
  let bootNext = false
  let type: number | undefined
  for (const { event, content } of events) {
    if (event.type !== EV_EFI_VARIABLE_BOOT && event.type !== EV_EFI_VARIABLE_BOOT2) continue
    if (content?.kind !== 'variable') continue
    const { name, vendor, value } = content.variable
    type ??= event.type
    if (type !== event.type) {
      const message = 'boot variables before this one were measured under another type'
      findings.push({ code: 'eventlog.type_disguised', severity: 'error', event: event.index, message, forged: true })
    }
    if (!isBootVariable(name) || vendor !== EFI_GLOBAL_VARIABLE) {
      const message = `${JSON.stringify(name)} of vendor ${vendor} is not a boot variable`
      // Vendors have variables of their own; where the digest covers the name, no option can pass for one of those.
      const severity = content.covers === 'all' ? 'warning' : 'error'
      findings.push({ code: 'eventlog.boot_variable', severity, event: event.index, message })
      continue
    }
    if (name === 'BootOrder') order ??= new Set(bootOrderNumbers(value))
    if (name === 'BootNext') bootNext = true
    const number = bootNumber(name)
    if (number !== undefined) options.push({ index: event.index, number, nameCovered: content.covers === 'all' })
  }
  const seen = new Set<number>()
  for (const { index, number, nameCovered } of options) {
    const unlisted = order !== undefined && !bootNext && !order.has(number)
    if (!nameCovered && (seen.has(number) || unlisted)) {
      const why = seen.has(number) ? 'was measured before' : 'is not in the boot order'
      const message = `boot option ${number.toString(16).padStart(4, '0')} ${why}, and its name is not covered by its digest`
      findings.push({ code: 'eventlog.boot_variable', severity: 'error', event: index, message })
    }
    seen.add(number)
  }
  return findings
}
