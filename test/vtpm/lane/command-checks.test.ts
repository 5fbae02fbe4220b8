import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HEADER_BYTES } from '../../../src/tpm/frame.ts'
import { COMMAND_CHECKS } from '../../../src/vtpm/lane/command-checks.ts'
import type { CheckName } from '../../../src/vtpm/lane/command-rules.ts'
import type { TenantConfig } from '../../../src/vtpm/lane/types.ts'

const TENANT: TenantConfig = {
  name: 'app',
  class: 'app',
  priority: 'apps',
  quota: { objects: 1, sessions: 1, nvBytes: 1, commandsPerSecond: 1, burst: 1, nvWritesPerHour: 1 },
  nvRange: [0x01800010, 0x0180001f],
  persistentRange: [0x81010000, 0x8101000f],
  idleTimeoutMs: 1,
}

function check(name: CheckName, parameters: string, ...handles: readonly number[]) {
  const command = Buffer.concat([Buffer.alloc(HEADER_BYTES), Buffer.from(parameters, 'hex')])
  const frame = { code: 0, handles, sessions: [], parametersAt: HEADER_BYTES }
  return COMMAND_CHECKS[name](command, frame, TENANT)
}

const NO_DA = '00000400'
const DA = '00000000'
/** TPM2B_PUBLIC: type, nameAlg, objectAttributes, and a byte of what follows. */
const publicArea = (attributes: string) => `0009` + '0008' + '000b' + attributes + '00'

/** TPM2B_NV_PUBLIC: index, SHA-256, attributes, empty policy, 8 bytes of data. */
const nvPublic = (index: string, attributes: string) => '000e' + index + '000b' + attributes + '0000' + '0008'

const CASES: readonly (readonly [name: CheckName, what: string, parameters: string, reason: string | undefined])[] = [
  ['create', 'a noDA object', '0000' + publicArea(NO_DA), undefined],
  ['create', 'a noDA object behind a secret of 3 bytes', '0003aabbcc' + publicArea(NO_DA), undefined],
  ['create', 'an object that counts towards lockout', '0000' + publicArea(DA), 'vtpm.lockout_risk'],
  ['create', 'no public area', '0000', 'vtpm.malformed'],
  ['create', 'a secret beyond the end', '00ff00', 'vtpm.malformed'],
  ['create', 'a public area beyond the end', '0000000900', 'vtpm.malformed'],
  ['create', 'a public area without attributes', '000000040008000b', 'vtpm.malformed'],
  ['loadExternal', 'a public key alone', '0000' + publicArea(DA), undefined],
  ['loadExternal', 'a private key that counts towards lockout', '000100' + publicArea(DA), 'vtpm.lockout_risk'],
  ['loadExternal', 'a private key that is noDA', '000100' + publicArea(NO_DA), undefined],
  ['loadExternal', 'nothing', '', 'vtpm.malformed'],
  ['nvDefine', 'an index of the range', '0000' + nvPublic('01800010', '02040004'), undefined],
  ['nvDefine', 'a counter', '0000' + nvPublic('0180001f', '02040014'), undefined],
  ['nvDefine', 'an index below the range', '0000' + nvPublic('0180000f', '02040004'), 'vtpm.nv_range'],
  ['nvDefine', 'an index above the range', '0000' + nvPublic('01800020', '02040004'), 'vtpm.nv_range'],
  ['nvDefine', 'an index that counts towards lockout', '0000' + nvPublic('01800010', '00040004'), 'vtpm.lockout_risk'],
  ['nvDefine', 'an index for the platform to write', '0000' + nvPublic('01800010', '02040005'), 'vtpm.nv_attributes'],
  ['nvDefine', 'an index for the platform to read', '0000' + nvPublic('01800010', '02050004'), 'vtpm.nv_attributes'],
  ['nvDefine', 'an index of the platform', '0000' + nvPublic('01800010', '42040004'), 'vtpm.nv_attributes'],
  ['nvDefine', 'an index that only a policy removes', '0000' + nvPublic('01800010', '02040404'), 'vtpm.nv_attributes'],
  ['nvDefine', 'an index under the global lock', '0000' + nvPublic('01800010', '02048004'), 'vtpm.nv_attributes'],
  ['nvDefine', 'an index in RAM', '0000' + nvPublic('01800010', '06040004'), 'vtpm.nv_attributes'],
  ['nvDefine', 'a PIN index', '0000' + nvPublic('01800010', '02040084'), 'vtpm.nv_attributes'],
  ['nvDefine', 'bytes behind the public area', '0000' + nvPublic('01800010', '02040004') + '00', 'vtpm.malformed'],
  ['nvDefine', 'a policy beyond the public area', '0000000e01800010000b0204000400080008', 'vtpm.malformed'],
  ['nvDefine', 'nothing', '', 'vtpm.malformed'],
  ['evictOwn', 'a handle of the range', '8101000f', undefined],
  ['evictOwn', 'a handle beyond it', '81010010', 'vtpm.not_own'],
  ['evictOwn', 'half a handle', '8101', 'vtpm.malformed'],
  ['selfTest', 'a test of what was not tested', '00', undefined],
  ['selfTest', 'a test of all', '01', 'vtpm.self_test_denied'],
  ['selfTest', 'nothing', '', 'vtpm.malformed'],
  ['capability', 'properties', '000000060000010000000001', undefined],
  ['capability', "a vendor's", '000001000000000000000001', 'vtpm.capability_denied'],
  ['capability', 'half a capability', '00000006', 'vtpm.malformed'],
]

for (const [name, what, parameters, reason] of CASES) {
  test(`${name} ${reason === undefined ? 'allows' : 'refuses'} ${what}`, () => {
    const refusal = check(name, parameters)
    assert.equal(refusal?.reason, reason)
    assert.notEqual(refusal?.rc, 0)
  })
}

test('createLoaded makes keys under keys, and no primary keys of the null hierarchy', () => {
  assert.equal(check('createLoaded', '0000' + publicArea(NO_DA), 0x80000000), undefined)
  assert.equal(check('createLoaded', '0000' + publicArea(DA), 0x80000000)?.reason, 'vtpm.lockout_risk')
  assert.equal(check('createLoaded', '0000' + publicArea(NO_DA), 0x40000007)?.reason, 'vtpm.hierarchy_denied')
})
