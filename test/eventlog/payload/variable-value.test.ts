import assert from 'node:assert/strict'
import test from 'node:test'
import { EFI_GLOBAL_VARIABLE, SHIM_LOCK } from '../../../src/eventlog/payload/guid.ts'
import { variableValueText } from '../../../src/eventlog/payload/variable-value.ts'
import { SHA256, signatureList, u16, u64 } from '../build-log.ts'

const END = Buffer.from('7fff0400', 'hex')
const ROWS: readonly (readonly [string, Buffer, string | undefined, string?])[] = [
  ['SecureBoot', Buffer.from([1]), 'on'],
  ['SecureBoot', Buffer.from([0]), 'off'],
  ['SecureBoot', Buffer.from([2]), undefined],
  ['SecureBoot', Buffer.from([1, 0]), undefined],
  ['SecureBoot', Buffer.alloc(0), 'not set'],
  ['SecureBoot', Buffer.from([1]), undefined, SHIM_LOCK],
  ['SetupMode', Buffer.from([1]), 'on'],
  ['BootOrder', Buffer.concat([u16(1), u16(0x2a)]), '0001,002A'],
  ['BootNext', u16(3), '0003'],
  ['Timeout', u16(5), '5 s'],
  ['OsIndications', u64(5), 'boot to firmware setup, capsules from files'],
  ['OsIndications', u64(0), 'none'],
  ['ConOut', Buffer.concat([Buffer.from('02010c00d041030a00000000', 'hex'), END]), 'PciRoot(0x0)'],
  ['MokListTrusted', Buffer.from([1]), 'yes', SHIM_LOCK],
  ['MokSBState', Buffer.from([1]), 'verification off', SHIM_LOCK],
  ['dbx', signatureList(SHA256, SHIM_LOCK, Buffer.alloc(32)), '1 hash'],
  ['Setup', Buffer.from([1, 2, 3]), undefined],
]

for (const [name, value, text, vendor = EFI_GLOBAL_VARIABLE] of ROWS) {
  const shown = `${name} of ${value.byteLength} bytes (${value.toString('hex', 0, 4)})`
  test(`the value of ${shown} is ${text === undefined ? 'shown as it is' : `"${text}"`}`, () => {
    assert.equal(variableValueText({ vendor, name, value, trailing: 0 }), text)
  })
}
