import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closest, didYouMean } from '../../src/attest/closest.ts'

const WORDS = ['enabled', 'setupMode', 'auditMode', 'dbx', 'db', 'onFailure']

test('a slip of the pen is recognised: a letter wrong, missing, too many or swapped, capitals', () => {
  for (const [written, meant] of [
    ['enabeld', 'enabled'],
    ['enbled', 'enabled'],
    ['enableed', 'enabled'],
    ['onfailure', 'onFailure'],
    ['dbxx', 'dbx'],
    ['setup_mode', 'setupMode'],
  ] as const) {
    assert.equal(closest(written, WORDS), meant)
  }
})

test('another word is no slip of the pen', () => {
  for (const written of ['colour', 'x', '', 'kernel', 'a'.repeat(1000)])
    assert.equal(closest(written, WORDS), undefined)
  assert.equal(didYouMean('colour', WORDS), '')
  assert.equal(didYouMean('enabeld', WORDS), '; did you mean enabled?')
})
