import assert from 'node:assert/strict'
import test from 'node:test'
import { boundClaims } from '../../../src/eventlog/claims/bound-claims.ts'
import {
  agileLog,
  GLOBAL,
  guid,
  secureBootConfiguration,
  SECURITY_DATABASE,
  SEPARATOR,
  TYPE,
  u32,
  variable,
  X509,
  type EventSpec,
} from '../build-log.ts'
import { claimsOf, valueOf } from './every-claim.ts'

const MEGABYTE = 1 << 20
const many = (size: number, make: (at: number) => EventSpec): EventSpec[] =>
  Array.from({ length: Math.floor(MEGABYTE / size) }, (_, at) => make(at))
const text = (at: number): string => at.toString(36).padStart(4, '0')

/** One list of entries of one byte each, which look like certificates to whoever asks for no more than their type. */
function tinyCertificates(count: number): Buffer {
  const size = 17
  const header = [guid(X509), u32(28 + count * size), u32(0), u32(size)]
  return Buffer.concat([...header, Buffer.alloc(count * size, 0x30)])
}

const MODULE = Buffer.concat([u32(0x40010003), u32(0)])

const HOSTILE: readonly (readonly [string, readonly EventSpec[]])[] = [
  ['commands of GRUB that each load another kernel', many(80, (at) => grub(`linux /${text(at)}`))],
  ['commands of GRUB that load the same kernel', many(80, () => grub('linux /k'))],
  ['command lines in PCR 12', many(70, (at) => ({ pcr: 12, type: TYPE.ipl, data: utf16(text(at)) }))],
  ['images', many(60, (at) => ({ pcr: 4, type: TYPE.application, data: text(at) }))],
  ['files', many(60, (at) => ({ pcr: 9, type: TYPE.ipl, data: text(at), measured: `x${at}` }))],
  ['events that nothing explains', many(60, (at) => ({ pcr: 1, type: TYPE.ipl, data: '', measured: text(at) }))],
  ['separators', many(60, () => ({ pcr: 1, type: TYPE.separator, data: SEPARATOR }))],
  ['actions', many(90, () => ({ pcr: 1, type: TYPE.efiAction, data: 'UEFI Debug Mode' }))],
  ['authorities', many(140, (at) => authority(Buffer.from(text(at).padStart(36, '0'))))],
  ['entries of db', secureBootConfiguration({ db: tinyCertificates(Math.floor(MEGABYTE / 17)) })],
  ['tagged events of Windows', [windows(Buffer.alloc(MEGABYTE - 8 - ((MEGABYTE - 8) % 8)))]],
  ['modules of Windows', [windows(Buffer.concat(many(8, () => ({ pcr: 0, type: 0 })).map(() => MODULE)))]],
  ['texts of userspace', many(60, (at) => ({ pcr: 11, type: TYPE.ipl, data: text(at) }))],
  ['parameters', [grub(`linux /k ${'root=a '.repeat(MEGABYTE / 7)}`)]],
  ['quotes', [grub(`linux /k ${'"'.repeat(MEGABYTE - 1)}`)]],
  ['measurements of a dynamic launch', many(60, (at) => ({ pcr: 17, type: 0x502, data: text(at) }))],
]

function grub(command: string): EventSpec {
  return { pcr: 8, type: TYPE.ipl, data: `grub_cmd: ${command}\0`, measured: command }
}

function utf16(value: string): Buffer {
  return Buffer.from(`${value}\0`, 'utf16le')
}

function authority(value: Buffer): EventSpec {
  return { pcr: 7, type: TYPE.authority, data: variable(SECURITY_DATABASE, 'db', Buffer.concat([guid(GLOBAL), value])) }
}

function windows(tags: Buffer): EventSpec {
  return { pcr: 13, type: TYPE.eventTag, data: Buffer.concat([u32(0x40010001), u32(tags.byteLength), tags]) }
}

for (const [name, events] of HOSTILE) {
  test(`a megabyte of ${name} gives claims of a few megabytes at most`, () => {
    const claims = claimsOf(agileLog(events))
    const size = JSON.stringify(claims).length
    assert.ok(size < 12 * MEGABYTE, `${size}`)
    assert.ok(JSON.stringify(boundClaims(claims)).length <= size)
  })
}

test('a list that is longer than any real one is cut, says so, and no rule sees it', () => {
  const claims = claimsOf(agileLog(many(60, (at) => ({ pcr: 4, type: TYPE.application, data: text(at) }))))
  assert.equal(valueOf(claims.boot.images).length, 4096)
  assert.ok(claims.boot.images.state === 'known' && !claims.boot.images.complete)
  assert.equal(boundClaims(claims)['boot']?.['images'], undefined)
})
