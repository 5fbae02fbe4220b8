import assert from 'node:assert/strict'
import test from 'node:test'
import { boundClaims } from '../../../src/eventlog/claims/bound-claims.ts'
import { bootClaims } from '../../../src/eventlog/claims/derive.ts'
import { parseEventLog } from '../../../src/eventlog/parse.ts'
import { agileLog, regularBoot, TYPE, type EventSpec } from '../build-log.ts'
import { bootFile } from '../logs.ts'
import { claimsOf, claimsOfEvents } from './every-claim.ts'

const honest = () => claimsOf(bootFile('honest', 'eventlog.bin'))

test('what is known, bound and whole is a plain value under its group and name', () => {
  const { secureBoot, kernel, boot } = boundClaims(honest())
  assert.equal(secureBoot?.['enabled'], true)
  assert.equal(typeof kernel?.['commandLine'], 'string')
  assert.deepEqual(boot?.['order'], [1, 0, 2])
})

test('what is unknown is missing, and its group is there', () => {
  const bound = boundClaims(claimsOfEvents([]))
  assert.deepEqual(bound['secureBoot'], {})
  assert.deepEqual(Object.keys(bound), Object.keys(claimsOfEvents([])).slice(1))
})

test('nothing untrusted and no index of an event is in it, at any depth', () => {
  const text = JSON.stringify(boundClaims(honest()))
  assert.equal(text.includes('"untrusted'), false)
  assert.equal(/"events?":/.test(text), false)
  assert.ok(JSON.stringify(honest()).includes('"untrusted'))
})

test('an incomplete list is missing', () => {
  const unread: EventSpec = { pcr: 8, type: TYPE.ipl, data: 'x', measured: 'y' }
  const grub: EventSpec = { pcr: 8, type: TYPE.ipl, data: 'grub_cmd: linux /k\0', measured: 'linux /k' }
  assert.deepEqual(boundClaims(claimsOfEvents([grub]))['loader']?.['commands'], ['linux /k'])
  assert.equal(boundClaims(claimsOfEvents([grub, unread]))['loader']?.['commands'], undefined)
})

test('the judged bank decides what is bound: a digest that is right in another one vouches for nothing', () => {
  const specs = regularBoot().map((spec) => ({ ...spec, digests: { sha1: Buffer.alloc(20, 1) } }))
  const log = parseEventLog(agileLog(specs, { banks: ['sha1', 'sha256'] }))
  assert.equal(boundClaims(bootClaims(log, 'sha256'))['secureBoot']?.['enabled'], true)
  assert.equal(boundClaims(bootClaims(log, 'sha1'))['secureBoot']?.['enabled'], undefined)
})
