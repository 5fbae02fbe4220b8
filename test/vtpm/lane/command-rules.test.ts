import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COMMAND_RULES, ruleOf } from '../../../src/vtpm/lane/command-rules.ts'
import { COMMANDS } from '../../../src/tpm/index.ts'
import { freshTpm } from '../../fixtures/swtpm.ts'

/** Part 2 section 6.5.2, revision 1.83: the range of TPM_CC, and the codes that are reserved in it. */
const FIRST = 0x11f
const LAST = 0x1a1
const RESERVED = [0x123, 0x15a, 0x15f, 0x166, 0x175]

test('every command of the specification has one row', () => {
  const codes = COMMAND_RULES.map(({ code }) => code)
  const all = Array.from({ length: LAST - FIRST + 1 }, (_, n) => FIRST + n).filter((code) => !RESERVED.includes(code))
  assert.deepEqual(codes, all)
  for (const rule of COMMAND_RULES) assert.equal(ruleOf(rule.code), rule)
})

test('every command that the TPM has is there, under the name that tpm2-tools know it by', async (t) => {
  const tpm = await freshTpm()
  t.after(() => tpm.close())
  const listed = await tpm.run('tpm2_getcap', 'commands')
  const commands = [...listed.matchAll(/^TPM2_CC_(\w+):\n {2}value: +0x([0-9A-F]+)$/gm)]
  assert.ok(commands.length > 90)
  for (const [, name = '', value = ''] of commands) {
    assert.equal(ruleOf(Number.parseInt(value, 16) & 0xffff)?.name.replace('_', ''), name.replace('_', ''), name)
  }
})

test('the commands that Touchstone sends itself have the names of the table', () => {
  for (const [name, { code }] of Object.entries(COMMANDS)) assert.equal(ruleOf(code)?.name, name)
})

test('what is denied to the broker is denied to all, and what is denied to the agent to apps', () => {
  for (const { name, classes } of COMMAND_RULES) {
    const [app, agent, broker] = [classes.app, classes.agent, classes.broker].map(({ denied }) => denied !== undefined)
    assert.ok(app || !agent, name)
    assert.ok(agent || !broker, name)
  }
})

test('codes beyond the specification have no row', () => {
  for (const code of [0, 0x11e, ...RESERVED, LAST + 1, 0x1ff, 0x20000001, 0xffffffff])
    assert.equal(ruleOf(code), undefined)
})
