import { TouchstoneError } from '../../core/index.ts'
import type { TenantConfig } from './types.ts'

type Range = readonly [number, number]

/** Where tenants of class `app` see their parent key. */
export const PARENT_HANDLE = 0x81000001

/** TCG EK Credential Profile 2.2.1.4: certificates and templates of EKs, and the chains of some vendors. */
export const EK_CERTIFICATES: Range = [0x01c00000, 0x01c0ffff]

const NAME = /^[a-z0-9][a-z0-9-]{0,31}$/
/** TPM_HT_NV_INDEX and TPM_HT_PERSISTENT: Part 2 section 7.2. */
const SPACES = { nvRange: [0x01000000, 0x01ffffff], persistentRange: [0x81000000, 0x81ffffff] } as const

/** What the broker itself keeps in the TPM: src/vtpm/hardware. */
const RESERVED = { nvRange: [0x01805300, 0x018053ff], persistentRange: [0x81010050, 0x8101005f] } as const

export function isWithin(range: Range | undefined, handle: number): boolean {
  return range !== undefined && handle >= range[0] && handle <= range[1]
}

/** Throws `vtpm.tenant_config` for a tenant that cannot be, or not beside those that are. */
export function assertTenant(tenant: TenantConfig, others: Iterable<TenantConfig>, hasParent: boolean): void {
  const refused = (why: string) => new TouchstoneError('vtpm.tenant_config', `tenant ${tenant.name}: ${why}`)
  if (!NAME.test(tenant.name))
    throw refused('the name is not 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit')
  if (hasParent && tenant.class !== 'app') throw refused('only apps have a parent key')
  if (hasParent && isWithin(tenant.persistentRange, PARENT_HANDLE)) {
    throw refused('its persistent handles take the place of its parent key, 0x81000001')
  }
  const { objects, sessions, nvBytes, commandsPerSecond, burst, nvWritesPerHour } = tenant.quota
  if (![objects, sessions, nvBytes].every((limit) => Number.isInteger(limit) && limit >= 0)) {
    throw refused('a quota is not a whole number')
  }
  if (!(commandsPerSecond > 0) || !(burst >= 1) || !(nvWritesPerHour >= 1)) throw refused('a rate is not positive')
  for (const [kind, space] of Object.entries(SPACES) as [keyof typeof SPACES, Range][]) {
    const range = tenant[kind]
    if (range === undefined) continue
    if (range[0] > range[1] || !isWithin(space, range[0]) || !isWithin(space, range[1])) {
      throw refused(`${kind} is not a range of such handles`)
    }
    if (overlap(range, RESERVED[kind])) throw refused(`${kind} overlaps what the broker itself keeps in the TPM`)
  }
  for (const other of others) {
    if (other.name === tenant.name) throw refused('there is one of this name')
    if (overlap(tenant.nvRange, other.nvRange) || overlap(tenant.persistentRange, other.persistentRange)) {
      throw refused(`its ranges overlap those of ${other.name}`)
    }
  }
}

function overlap(a: Range | undefined, b: Range | undefined): boolean {
  return a !== undefined && b !== undefined && a[0] <= b[1] && b[0] <= a[1]
}
