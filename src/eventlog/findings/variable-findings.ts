import type { AnnotatedEvent } from '../annotate.ts'
import {
  EV_EFI_SPDM_DEVICE_AUTHORITY,
  EV_EFI_SPDM_DEVICE_POLICY,
  EV_EFI_VARIABLE_AUTHORITY,
  EV_EFI_VARIABLE_DRIVER_CONFIG,
} from '../event-types.ts'
import type { Finding, RegisterKind } from '../log.ts'
import { isSignatureLists, looksLikeCertificate } from '../payload/signature-list.ts'
import type { EfiVariable } from '../payload/variable.ts'
import { registerOf } from '../registers.ts'
import { isBootVariable, isShimVariable, mayBeMeasuredAsConfiguration, SECURE_BOOT_VARIABLES } from '../variables.ts'

const SPDM_TYPES: ReadonlySet<number> = new Set([EV_EFI_SPDM_DEVICE_POLICY, EV_EFI_SPDM_DEVICE_AUTHORITY])
const DEVICE_DATABASE = 'devdb'

/**
 * The order that PCR 7 must have: configuration first, each variable once; the separator; then what verified images.
 * The type of an event says which of the two it is and is not measured, so name and form of the payload must agree.
 */
export function variableFindings(events: readonly AnnotatedEvent[], kind: RegisterKind): Finding[] {
  const register = registerOf(kind, 7)
  const findings: Finding[] = []
  const seen = new Set<string>()
  // A shim that measures its variables as authorities does so with all of them.
  const shimAuthorities = events.some(
    ({ event, content }) =>
      event.type === EV_EFI_VARIABLE_AUTHORITY && content?.kind === 'variable' && isShimVariable(content.variable.name),
  )
  let separated = false
  let index = 0
  const add = (code: Finding['code'], severity: Finding['severity'], message: string): void => {
    const forged = code === 'eventlog.type_disguised' ? ({ forged: true } as const) : {}
    findings.push({ code, severity, event: index, message, ...forged })
  }
  for (const { event, content } of events) {
    if (content?.kind === 'separator' && event.pcr === register) separated = true
    if (content?.kind !== 'variable' || content.covers !== 'all') continue
    index = event.index
    const { variable } = content
    if (event.type === EV_EFI_VARIABLE_DRIVER_CONFIG) {
      if (isBootVariable(variable.name)) {
        add('eventlog.type_disguised', 'error', `${variable.name} is a boot variable, the type says configuration`)
      } else if (event.pcr === register) {
        configurationFindings(variable, { seen, separated, shimAuthorities }, add)
      }
    }
    if (SPDM_TYPES.has(event.type) && variable.name !== DEVICE_DATABASE) {
      add('eventlog.type_disguised', 'error', `${variable.name} is not the device database, the type says it is`)
    }
    if (event.type === EV_EFI_VARIABLE_AUTHORITY && !mayBeAuthority(variable)) {
      add('eventlog.type_disguised', 'error', `${variable.name} is configuration, the type says authority`)
    }
  }
  for (const [name, { required }] of SECURE_BOOT_VARIABLES) {
    if (required && seen.size > 0 && !seen.has(name)) {
      const message = `the firmware did not measure ${name} before the separator of register ${register}`
      findings.push({ code: 'eventlog.variable_missing', severity: 'warning', message })
    }
  }
  return findings
}

interface Progress {
  readonly seen: Set<string>
  readonly separated: boolean
  readonly shimAuthorities: boolean
}

function configurationFindings(
  variable: EfiVariable,
  { seen, separated, shimAuthorities }: Progress,
  add: (code: Finding['code'], severity: Finding['severity'], message: string) => void,
): void {
  const { name } = variable
  const known = SECURE_BOOT_VARIABLES.get(name)
  if (known === undefined) {
    const authority = shimAuthorities || !mayBeMeasuredAsConfiguration(name) || holdsCertificate(variable.value)
    if (isShimVariable(name) && authority) {
      add('eventlog.type_disguised', 'error', `${name} is an authority, the type says configuration`)
    } else if (separated) {
      add('eventlog.variable_late', 'warning', `${name} was measured as configuration after the separator`)
    }
    return
  }
  if (known.vendor !== variable.vendor) {
    add(
      'eventlog.variable_vendor',
      'warning',
      `${name} of vendor ${variable.vendor} is not the variable of Secure Boot`,
    )
    return
  }
  if (seen.has(name)) add('eventlog.variable_repeated', 'error', `${name} was measured before`)
  else if (separated) add('eventlog.variable_late', 'error', `${name} was measured after the separator`)
  seen.add(name)
}

/** An authority is one entry of a database, or a variable of shim; never a whole database, never a mode. */
function mayBeAuthority(variable: EfiVariable): boolean {
  const known = SECURE_BOOT_VARIABLES.get(variable.name)
  if (known?.vendor !== variable.vendor) return true
  return known.authority && !isSignatureLists(variable.value)
}

const OWNER = 16

function holdsCertificate(value: Buffer): boolean {
  return looksLikeCertificate(value) || (value.byteLength > OWNER && looksLikeCertificate(value.subarray(OWNER)))
}
