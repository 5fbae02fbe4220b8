import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertTenant } from '../../../src/vtpm/lane/tenant-ranges.ts'
import type { TenantConfig } from '../../../src/vtpm/lane/types.ts'

const TENANT: TenantConfig = {
  name: 'app-1',
  class: 'app',
  priority: 'apps',
  quota: { objects: 1, sessions: 1, nvBytes: 0, commandsPerSecond: 1, burst: 1, nvWritesPerHour: 1 },
  nvRange: [0x01800000, 0x0180000f],
  persistentRange: [0x81000010, 0x8100001f],
  idleTimeoutMs: 1,
}
const OTHER: TenantConfig = { ...TENANT, name: 'other', nvRange: [0x01800010, 0x0180001f], persistentRange: undefined }

test('a tenant with ranges of its own is taken', () => assertTenant(TENANT, [OTHER], true))

const REFUSED: readonly (readonly [why: string, tenant: Partial<TenantConfig>, hasParent?: boolean])[] = [
  ['with a name that is no file name', { name: '../x' }],
  ['without a name', { name: '' }],
  ['with a name of 33 letters', { name: 'a'.repeat(33) }],
  ['with the name of another', { name: 'other' }],
  ['whose NV range overlaps that of another', { nvRange: [0x01800008, 0x01800010] }],
  ['whose NV range is not of NV indices', { nvRange: [0x01ffffff, 0x02000000] }],
  ["whose NV range has the broker's counters in it", { nvRange: [0x01805000, 0x01805fff] }],
  ["whose persistent range has the broker's storage root in it", { persistentRange: [0x81010000, 0x810100ff] }],
  ['whose NV range is the wrong way round', { nvRange: [0x0180000f, 0x01800000] }],
  ['whose persistent range is not of persistent handles', { persistentRange: [0x80000000, 0x81000000] }],
  ["whose persistent range hides its parent's place", { persistentRange: [0x81000000, 0x8100000f] }, true],
  ['with half an object', { quota: { ...TENANT.quota, objects: 0.5 } }],
  ['with fewer than no sessions', { quota: { ...TENANT.quota, sessions: -1 } }],
  ['that may never send a command', { quota: { ...TENANT.quota, commandsPerSecond: 0 } }],
  ['that may never write', { quota: { ...TENANT.quota, nvWritesPerHour: 0 } }],
  ['without a burst', { quota: { ...TENANT.quota, burst: 0 } }],
  ['of class agent with a parent key', { class: 'agent' }, true],
]

for (const [why, tenant, hasParent = false] of REFUSED) {
  test(`refuses a tenant ${why}`, () => {
    assert.throws(() => assertTenant({ ...TENANT, ...tenant }, [OTHER], hasParent), { code: 'vtpm.tenant_config' })
  })
}
