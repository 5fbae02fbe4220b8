import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { explainRc } from '../../src/tpm/index.ts'
import { FORMAT_ONE, FORMAT_ZERO, WARNINGS } from '../../src/tpm/rc-table.ts'

/** Codes of revision 1.83, which tpm2-tss 3.2 does not know yet. */
const YOUNGER_THAN_TSS = new Set([0x156, 0xa8, 0xa9, 0xb0, 0xb1])

const families = [
  { name: 'format-zero errors', table: FORMAT_ZERO, base: 0x100, size: 0x60 },
  { name: 'warnings', table: WARNINGS, base: 0x900, size: 0x30 },
  { name: 'format-one errors', table: FORMAT_ONE, base: 0x080, size: 0x40 },
]

for (const { name, table, base, size } of families) {
  test(`the table holds exactly the ${name} that tpm2-tss knows, and those that are younger`, () => {
    for (let code = 0; code < size; code++) {
      const rc = base | code
      if (YOUNGER_THAN_TSS.has(rc)) continue
      const text = execFileSync('tpm2_rc_decode', [`0x${rc.toString(16)}`], { encoding: 'utf8' }).trim()
      assert.equal(Object.hasOwn(table, code), !/(?:0x[0-9a-f]+|\(null\))$/i.test(text), text)
    }
  })
}

test('names, explains and says what to do', () => {
  const { name, meaning, hint, retry } = explainRc(0x921)
  assert.equal(name, 'TPM_RC_LOCKOUT')
  assert.match(meaning, /locked/)
  assert.match(hint, /Do not retry/)
  assert.equal(retry, 'no')
})

for (const [rc, subject, name] of [
  [0x2d6, 'parameter 2', 'TPM_RC_SYMMETRIC'],
  [0x1c4, 'parameter 1', 'TPM_RC_VALUE'],
  [0x18b, 'handle 1', 'TPM_RC_HANDLE'],
  [0x9a2, 'session 1', 'TPM_RC_BAD_AUTH'],
  [0xb8e, 'session 3', 'TPM_RC_AUTH_FAIL'],
] as const) {
  test(`says that 0x${rc.toString(16)} is about ${subject}`, () => {
    const explained = explainRc(rc)
    assert.equal(explained.name, name)
    assert.ok(explained.meaning.startsWith(`${subject}: `), explained.meaning)
  })
}

for (const [rc, retry] of [
  [0x901, 'now'],
  [0x902, 'now'],
  [0x903, 'now'],
  [0x905, 'now'],
  [0x908, 'later'],
  [0x90a, 'later'],
  [0x920, 'later'],
  [0x922, 'later'],
  [0x921, 'no'],
  [0x101, 'no'],
  [0x98e, 'no'],
  [0, 'no'],
] as const) {
  test(`advises '${retry}' on sending again after 0x${rc.toString(16)}`, () => {
    assert.equal(explainRc(rc).retry, retry)
  })
}

test('never throws, and has words for every number', () => {
  fc.assert(
    fc.property(fc.nat({ max: 0xffffffff }), (rc) => {
      const { name, meaning } = explainRc(rc)
      assert.ok(name.length > 0 && meaning.length > 0)
    }),
  )
})

test('tells the TPM from the layers of software above it', () => {
  assert.match(explainRc(0x000a000a).meaning, /TCTI/)
  assert.match(explainRc(0x00990001).meaning, /unknown layer/)
  assert.equal(explainRc(0x000c0902).name, 'TPM_RC_OBJECT_MEMORY')
  assert.match(explainRc(0x1e).hint, /TPM 1.2/)
  assert.match(explainRc(0x500).meaning, /vendor/)
})
