import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { CLAIMS, type ClaimRow, type ClaimType } from '../../../src/eventlog/claims/claim-catalogue.ts'
import { SKIP_WITHOUT_SHARED_DATA } from '../../fixtures/shared-data.ts'
import { BOOTS, bootFile, realLogs } from '../logs.ts'
import { claimsOf, claimsOfEvents, everyClaim, realClaims, type AnyClaim } from './every-claim.ts'
import type { BootClaims } from '../../../src/eventlog/claims/boot-claims.ts'

const rows: ReadonlyMap<string, ClaimRow> = new Map(Object.entries(CLAIMS))
const document = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'claims.md'), 'utf8')
const documented = [...document.matchAll(/^\| `([a-zA-Z]+\.[a-zA-Z]+)` \| (.+) \|$/gm)]

test('every claim has a row in the document, and the document names no other', () => {
  assert.deepEqual(documented.map(([, name]) => name).toSorted(), [...rows.keys()].toSorted())
})

test('the document says what the table says', () => {
  for (const [, name = '', cells = ''] of documented) {
    const row = rows.get(name)
    assert.ok(row)
    for (const text of [row.meaning, row.bound, row.unknown]) assert.ok(cells.includes(text), `${name}: ${text}`)
  }
})

test('derivation makes every claim of the table, and no other', () => {
  assert.deepEqual(
    everyClaim(claimsOfEvents([]))
      .map(([name]) => name)
      .toSorted(),
    [...rows.keys()].toSorted(),
  )
})

function mismatch(type: ClaimType, value: unknown): string | undefined {
  if (typeof type === 'string') return typeof value === type ? undefined : `${typeof value} is no ${type}`
  if ('list' in type) {
    return Array.isArray(value) ? value.map((each) => mismatch(type.list, each)).find((each) => each) : 'is no list'
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'is no object'
  const members = Object.entries(value as Readonly<Record<string, unknown>>)
  if ('map' in type) return members.map(([, each]) => mismatch(type.map, each)).find((each) => each)
  const fields = new Map(Object.entries(type.fields).map(([name, field]) => [name.replace('?', ''), field]))
  const missing = Object.keys(type.fields).filter((name) => !name.endsWith('?') && !Object.hasOwn(value, name))
  if (missing.length > 0) return `${missing.join()} missing`
  for (const [name, member] of members) {
    const field = fields.get(name)
    if (field === undefined) return `${name} is not in the table`
    const wrong = mismatch(field, member)
    if (wrong !== undefined) return `${name}: ${wrong}`
  }
  return undefined
}

function assertInOrder(claims: BootClaims, eventCount: number): void {
  for (const [name, claim] of everyClaim(claims)) {
    const row = rows.get(name)
    assert.ok(row, name)
    assert.ok(
      claim.events.every((index) => index >= 0 && index < eventCount),
      name,
    )
    if (claim.state === 'unknown') {
      assert.ok((claim.reason ?? '').length > 0, name)
      assert.equal(claim.bound, false)
      continue
    }
    const type: ClaimType = row.list === true ? { list: row.type } : row.type
    assert.equal(mismatch(type, claim.value), undefined, name)
    assert.equal(claim.bound, row.bound !== 'never', name)
    assert.equal(claim.bound, !/\.untrusted[A-Z]/.test(name), name)
    assert.equal(row.list === true, claim.complete !== undefined, name)
    assert.ok(claim.events.length > 0 || isEmptyList(claim), `${name} comes from no event`)
  }
}

function isEmptyList({ value }: AnyClaim): boolean {
  return Array.isArray(value) && value.length === 0
}

for (const boot of BOOTS) {
  test(`claims of the boot ${boot} have the types of the table, point at events, and are bound or named untrusted`, () => {
    assertInOrder(claimsOf(bootFile(boot, 'eventlog.bin')), 1000)
  })
}

test(
  'claims of real logs have the types of the table, point at events, and are bound or named untrusted',
  { skip: SKIP_WITHOUT_SHARED_DATA },
  () => {
    const known = new Set<string>()
    for (const name of realLogs()) {
      const claims = realClaims(name)
      assertInOrder(claims, 1000)
      assert.deepEqual(JSON.parse(JSON.stringify(claims)), claims)
      for (const [claim, { state }] of everyClaim(claims)) if (state === 'known') known.add(claim)
    }
    // Those that no machine of the collection shows; other tests make them.
    assert.deepEqual(
      [...rows.keys()].filter((name) => !known.has(name)),
      [
        'firmware.untrustedPlatform',
        'secureBoot.dbt',
        'secureBoot.dbr',
        'secureBoot.dbxNewestRevocation',
        'shim.validation',
        'platform.dmaProtection',
        'platform.debugger',
        'kernel.ukiSections',
        'rootfs.verityUsrHash',
        'userspace.phases',
        'userspace.machineId',
        'userspace.fileSystems',
        'userspace.texts',
        'userspace.untrustedSecrets',
        'windows.iommuRequired',
        'windows.bootDmaProtection',
        'drtm.launched',
        'drtm.measurements',
        'drtm.untrustedMle',
      ],
    )
  },
)
